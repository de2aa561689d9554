"""The data plane over HTTPS: publish and retained messages (CP 5.11)."""
import json

import pytest

from pages import all_pages


def test_retained_messages(client, name):
    data = client("iot-data")
    topics = {f"{name}/{n}" for n in range(3)}
    for topic in topics:
        data.publish(topic=topic, qos=1, retain=True, payload=json.dumps({"topic": topic}).encode())
    message = data.get_retained_message(topic=f"{name}/1")
    assert json.loads(message["payload"].read() if hasattr(message["payload"], "read") else message["payload"]) == {"topic": f"{name}/1"}
    assert message["qos"] == 1
    found = all_pages(data.list_retained_messages, "nextToken", "nextToken", "retainedTopics", maxResults=2)
    assert topics <= {one["topic"] for one in found}
    for topic in topics:
        data.publish(topic=topic, qos=0, retain=True, payload=b"")
    with pytest.raises(data.exceptions.ResourceNotFoundException):
        data.get_retained_message(topic=f"{name}/1")
