// A trigger that is stored with a flow: what a deployment of it proposes.
import { Group, Text } from "@mantine/core";
import { useDesigner } from "./context.ts";
import { type FlowNode, isTrigger, triggerId } from "./drawing.ts";
import { Frame, Problems, RemoveButton } from "./inspector.tsx";
import { KINDS } from "./kinds.tsx";
import { TriggerFields } from "./trigger-fields.tsx";

export function TriggerInspector(props: { node: FlowNode; onClose: () => void; onRemove: () => void }) {
  const { node } = props;
  const { flow, key, edit, select, readOnly } = useDesigner();
  const Icon = KINDS[node.kind].icon;
  const locked = readOnly || node.readOnly;
  const things = flow.parameters.filter((one) => /^(string|deviceid)$/i.test(one.type));
  return (
    <Frame
      title={
        <Group gap={8} wrap="nowrap">
          <Icon size={16} aria-hidden />
          <span>{node.kind === "clock" ? "Clock" : "Device event"}</span>
        </Group>
      }
      onClose={props.onClose}
    >
      <Text size="xs" c="dimmed">
        Kept with the flow. Each deployment starts from it and says which device is meant.
      </Text>
      <Problems node={node} />
      <TriggerFields
        node={node}
        tellers={things.map((one) => ({ name: one.name, events: [] }))}
        flows={[{ role: flow.name, parameters: flow.parameters }]}
        readOnly={locked}
        taken={(name) =>
          flow.nodes.some((one) => one !== node && isTrigger(one) && one.name.toLowerCase() === name.toLowerCase())
        }
        onChange={async (change) => {
          const done = await edit(
            [{ op: "set-trigger", flow: key, trigger: node.name, ...change }],
            `Change the trigger “${node.name}”`,
          );
          if (done && change.name) select([triggerId(change.name)]);
        }}
      />
      {!locked && (
        <Group>
          <RemoveButton onRemove={props.onRemove} />
        </Group>
      )}
    </Frame>
  );
}
