// The form that publishes a message.
import { Button, Checkbox, Group, SegmentedControl, Stack, Text, Textarea, TextInput } from "@mantine/core";
import { Send } from "lucide-react";
import { useState } from "react";
import { call, useAction } from "../api/call.ts";
import { ErrorPanel } from "../ui/error-panel.tsx";
import { encodeText, prettyJson } from "../ui/format.ts";
import { Panel } from "../ui/panel.tsx";
import { topicMistake } from "./filter.ts";
import classes from "./mqtt.module.css";

export function Publish() {
  const [topic, setTopic] = useState("plant/1/test");
  const [payload, setPayload] = useState('{\n  "hello": "marram"\n}');
  const [qos, setQos] = useState("0");
  const [retain, setRetain] = useState(false);
  const mistake = topicMistake(topic);
  const publish = useAction({
    run: () => call("iot-data", "Publish", { topic, qos: Number(qos), retain, payload: encodeText(payload) }),
    quiet: true,
  });
  return (
    <Panel title="Publish">
      <form
        onSubmit={(event) => {
          event.preventDefault();
          if (mistake === null) publish.mutate();
        }}
      >
        <Stack gap="sm">
          {publish.error && <ErrorPanel error={publish.error} />}
          <TextInput
            label="Topic"
            value={topic}
            onChange={(event) => setTopic(event.currentTarget.value)}
            error={topic === "" ? null : mistake}
            classNames={{ input: classes.mono ?? "" }}
            spellCheck={false}
          />
          <Textarea
            label="Payload"
            autosize
            minRows={6}
            maxRows={18}
            value={payload}
            onChange={(event) => setPayload(event.currentTarget.value)}
            onBlur={() => setPayload(prettyJson(payload))}
            classNames={{ input: classes.mono ?? "" }}
            spellCheck={false}
          />
          <Group justify="space-between">
            <SegmentedControl
              size="xs"
              aria-label="Quality of service"
              value={qos}
              onChange={setQos}
              data={[
                { value: "0", label: "QoS 0" },
                { value: "1", label: "QoS 1" },
              ]}
            />
            <Checkbox
              size="xs"
              label="Retain"
              checked={retain}
              onChange={(event) => setRetain(event.currentTarget.checked)}
            />
          </Group>
          <Group justify="space-between">
            <Text size="xs" c="dimmed" role="status">
              {publish.isSuccess && !publish.isPending ? "Published." : ""}
            </Text>
            <Button
              type="submit"
              leftSection={<Send size={14} aria-hidden />}
              loading={publish.isPending}
              disabled={mistake !== null}
            >
              Publish
            </Button>
          </Group>
        </Stack>
      </form>
    </Panel>
  );
}
