// A new core: the command that makes its identity and puts it on the gateway.
import { List, SegmentedControl, Stack, Text, TextInput } from "@mantine/core";
import { useState } from "react";
import { CodeBlock } from "../ui/code-block.tsx";
import { TextLink } from "../ui/link.tsx";
import { Page } from "../ui/page.tsx";
import { Columns, Panel } from "../ui/panel.tsx";
import { installer, isHost, isThingName, type Way } from "./installer.ts";

export function AddCorePage() {
  const [name, setName] = useState("gateway-1");
  const [way, setWay] = useState<Way>("ssh");
  const [host, setHost] = useState("root@gateway-1.local");
  const nameWrong = !isThingName(name);
  const hostWrong = way === "ssh" && !isHost(host);
  return (
    <Page
      title="Add a core"
      parent={{ label: "Cores", to: "/cores" }}
      description="The gateway's key is made by the command and goes nowhere but to the gateway. The policy names this core's own topics and nothing else."
    >
      <Columns min={26}>
        <Panel title="Which gateway">
          <Stack gap="md">
            <TextInput
              label="Name"
              description="Becomes the name of its thing."
              value={name}
              onChange={(event) => setName(event.currentTarget.value)}
              error={nameWrong ? "1 to 128 letters, digits, - _ and :" : null}
              spellCheck={false}
            />
            <div>
              <Text size="sm" fw={500} mb={4} id="way">
                It is
              </Text>
              <SegmentedControl
                aria-labelledby="way"
                value={way}
                onChange={(value) => setWay(value as Way)}
                data={[
                  { value: "ssh", label: "Reached by SSH" },
                  { value: "here", label: "This machine" },
                  { value: "stick", label: "Offline" },
                ]}
              />
            </div>
            {way === "ssh" && (
              <TextInput
                label="SSH address"
                value={host}
                onChange={(event) => setHost(event.currentTarget.value)}
                error={hostWrong ? "user@host" : null}
                spellCheck={false}
              />
            )}
          </Stack>
        </Panel>
        <Panel title="What the gateway needs">
          <List size="sm" spacing="xs">
            <List.Item>Debian 12 or newer, or another Linux with systemd; 64 bit; 64 MB of free memory.</List.Item>
            <List.Item>
              The package <code>marram-core</code> of its architecture beside you: <code>make package</code> builds it.
            </List.Item>
            <List.Item>A way out to this server: its MQTT and device ports. Nothing comes in.</List.Item>
          </List>
        </Panel>
      </Columns>
      <Panel title="Run this where marram runs">
        {nameWrong || hostWrong ? (
          <Text size="sm" c="dimmed">
            Correct the fields above to see the command.
          </Text>
        ) : (
          <CodeBlock text={installer(way, name, host)} label="the installation command" wrap />
        )}
        <Text size="sm" c="dimmed" mt="sm">
          The core appears under{" "}
          <TextLink to="/cores" underline="always">
            Cores
          </TextLink>{" "}
          within seconds of its start. It is provisioned once: for a second try choose another folder, or remove the
          first.
        </Text>
      </Panel>
    </Page>
  );
}
