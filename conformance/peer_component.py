"""The component that the original cores run: what it hears on the local bus it tells the control plane, and who it is there.

    peer_component.py THING VERSION"""
import json
import sys
import threading

import boto3
from awsiot.greengrasscoreipc.clientv2 import GreengrassCoreIPCClientV2
from awsiot.greengrasscoreipc.model import JsonMessage, PublishMessage

thing, version = sys.argv[1:3]
ipc = GreengrassCoreIPCClientV2()
arrived = threading.Event()
word = ipc.get_configuration(key_path=["word"]).value["word"]


def tell(topic, body):
    ipc.publish_to_iot_core(topic_name=f"{thing}/{topic}", qos="1", payload=json.dumps({"version": version, **body}).encode())


def on_event(event):
    tell("local", {"said": event.json_message.message["said"]})
    arrived.set()


ipc.subscribe_to_topic(topic="local/words", on_stream_event=on_event)
ipc.publish_to_topic(topic="local/words", publish_message=PublishMessage(json_message=JsonMessage(message={"said": word})))
assert arrived.wait(60), "nothing came back from the local bus"
tell("role", {"arn": boto3.client("sts").get_caller_identity()["Arn"]})
threading.Event().wait()
