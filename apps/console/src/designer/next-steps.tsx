// Where a step leads to, as a list: the way to connect and disconnect steps without a pointer.
import { ActionIcon, Button, Group, Select, Text, Tooltip } from "@mantine/core";
import { X } from "lucide-react";
import { useState } from "react";
import { useDesigner } from "./context.ts";
import { type FlowNode, isStep } from "./drawing.ts";
import { WHEN_OPEN } from "./inspector.tsx";
import classes from "./next-steps.module.css";

export function NextSteps({ node }: { node: FlowNode }) {
  const { flow, key, edit, select, readOnly } = useDesigner();
  const edges = flow.edges.filter((edge) => edge.source === node.name);
  const ports = [
    ...(node.outputs ?? []).map((output) => ({
      value: output.port,
      label: output.port === "success" ? "when it is done" : output.label,
    })),
    ...(node.kind === "choice" ? [{ value: "new", label: "by a new rule" }] : []),
    { value: "error", label: "on any error" },
  ];
  const labels = new Map(ports.map((port) => [port.value, port.label]));
  const [port, setPort] = useState<string | null>(null);
  const [target, setTarget] = useState<string | null>(null);
  const from = port ?? (node.kind === "choice" ? "new" : "success");
  const connect = async () => {
    if (!target) return;
    const way = from === "new" ? {} : { port: from };
    const done = await edit(
      [{ op: "connect", flow: key, source: node.name, target, ...way }],
      `Connect “${node.name}” to “${target}”`,
    );
    if (done) setTarget(null);
  };
  return (
    <>
      {edges.length === 0 && (
        <Text size="xs" c="dimmed">
          Nothing follows yet.
        </Text>
      )}
      {edges.length > 0 && (
        <ul className={classes.list}>
          {edges.map((edge) => (
            <li key={edge.id} className={classes.item}>
              <button type="button" className={classes.link} onClick={() => select([], edge.id)}>
                <span className={classes.way}>{labels.get(edge.port) ?? edge.label ?? edge.kind}</span>
                <span className={classes.target}>→ {edge.target}</span>
              </button>
              {!readOnly && (
                <Tooltip label="Disconnect">
                  <ActionIcon
                    size="sm"
                    variant="subtle"
                    color="gray"
                    aria-label={`Disconnect from ${edge.target}`}
                    onClick={() =>
                      void edit(
                        [{ op: "disconnect", flow: key, edge: edge.id }],
                        `Disconnect “${node.name}” from “${edge.target}”`,
                      )
                    }
                  >
                    <X size={13} aria-hidden />
                  </ActionIcon>
                </Tooltip>
              )}
            </li>
          ))}
        </ul>
      )}
      {!readOnly && (
        <Group gap={6} wrap="nowrap" align="end">
          <Select
            aria-label="When"
            comboboxProps={WHEN_OPEN}
            size="xs"
            flex={1}
            data={uniqueOptions(ports)}
            value={from}
            allowDeselect={false}
            onChange={setPort}
          />
          <Select
            aria-label="Next step"
            size="xs"
            flex={1}
            searchable
            placeholder="next step"
            limit={60}
            comboboxProps={WHEN_OPEN}
            data={flow.nodes.filter((one) => isStep(one) && one !== node).map((one) => one.name)}
            value={target}
            onChange={setTarget}
          />
          <Button size="xs" variant="default" px={10} disabled={!target} onClick={() => void connect()}>
            Connect
          </Button>
        </Group>
      )}
    </>
  );
}

function uniqueOptions(options: readonly { value: string; label: string }[]): { value: string; label: string }[] {
  return [...new Map(options.map((option) => [option.value, option])).values()];
}
