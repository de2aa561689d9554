// A chosen connection: its event, its condition, how to take it away.
import { Button, Text } from "@mantine/core";
import { Unlink } from "lucide-react";
import { useDesigner } from "./context.ts";
import type { FlowEdge } from "./drawing.ts";
import { ExpressionField } from "./expression-field.tsx";
import { EDGE_WORDS } from "./kinds.tsx";
import { bare } from "./step-node.tsx";

export function EdgeInspector({ edge }: { edge: FlowEdge }) {
  const { flow, key, edit, select, readOnly } = useDesigner();
  const target = flow.nodes.find((node) => node.name === edge.target);
  const others = (target?.inEvent?.events ?? []).filter((event) => event !== edge.event);
  const conditional = edge.kind === "choice" ? edge.port !== "default" : edge.kind === "check";
  return (
    <>
      <Text size="sm">
        From{" "}
        <Text span fw={600}>
          {edge.source}
        </Text>{" "}
        to{" "}
        <Text span fw={600}>
          {edge.target}
        </Text>
        , {EDGE_WORDS[edge.kind]}
        {edge.event ? `, by the event “${edge.event}”` : ""}.
      </Text>
      {others.length > 0 && (
        <Text size="xs" c="dimmed">
          {target?.inEvent?.kind === "expression"
            ? `“${edge.target}” runs when ${target.inEvent.expression}.`
            : `“${edge.target}” also waits for ${others.join(", ")}.`}
        </Text>
      )}
      {conditional && (
        <ExpressionField
          label="Holds when"
          step={edge.source}
          place="condition"
          value={edge.condition ?? ""}
          required
          onCommit={(condition) =>
            void edit([{ op: "set-condition", flow: key, edge: edge.id, condition }], "Change a condition")
          }
        />
      )}
      {edge.kind === "error" && (
        <Text size="xs" c="dimmed">
          {edge.label ? `Errors: ${edge.label}. ` : ""}Which errors lead here is set at “{edge.source}”, under “When it
          fails”.
        </Text>
      )}
      {edge.kind === "triggers" && edge.condition && (
        <Text size="xs" ff="monospace">
          {bare(edge.condition)}
        </Text>
      )}
      {edge.kind !== "triggers" && !readOnly && (
        <Button
          size="xs"
          variant="default"
          leftSection={<Unlink size={14} aria-hidden />}
          onClick={() => {
            void edit(
              [{ op: "disconnect", flow: key, edge: edge.id }],
              `Disconnect “${edge.source}” from “${edge.target}”`,
            );
            select([]);
          }}
        >
          Disconnect
        </Button>
      )}
    </>
  );
}
