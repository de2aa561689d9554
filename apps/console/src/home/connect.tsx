// Where clients connect to.
import { Text } from "@mantine/core";
import { useSession } from "../api/session.ts";
import { Copyable } from "../ui/code-block.tsx";
import { Facts } from "../ui/facts.tsx";
import { Panel } from "../ui/panel.tsx";

export function Connect() {
  const { endpoints, account } = useSession();
  return (
    <Panel title="Connect your clients">
      <Facts
        items={[
          ["API (AWS CLI, boto3, CDK)", <Copyable key="api" text={https(endpoints.api)} label="the API endpoint" />],
          ["MQTT (devices, mutual TLS)", <Copyable key="mqtt" text={endpoints.mqtt} label="the MQTT endpoint" />],
          [
            "Device HTTPS (mutual TLS)",
            <Copyable key="device" text={https(endpoints.device)} label="the device endpoint" />,
          ],
          ["Account", <Copyable key="account" text={account} label="the account id" />],
        ]}
      />
      <Text size="sm" c="dimmed" mt="sm">
        On this machine <code>eval "$(marram env)"</code> sets them for <code>aws</code> and boto3.
      </Text>
    </Panel>
  );
}

/** The session names hosts and ports; clients of these two want an address. */
function https(endpoint: string): string {
  return endpoint.includes("://") ? endpoint : `https://${endpoint}`;
}
