// Rules of a choice: the first that holds decides.
import { ActionIcon, Group, Text, Tooltip } from "@mantine/core";
import { ArrowUp, Trash2 } from "lucide-react";
import { useDesigner } from "./context.ts";
import type { FlowNode, Rule } from "./drawing.ts";
import { ExpressionField } from "./expression-field.tsx";
import classes from "./inspector.module.css";
import { remove, setExpression, setName, swap } from "./rule-text.ts";
import { TextField } from "./text-field.tsx";

export function ChoiceRules({ node }: { node: FlowNode }) {
  const { state, flow, edit, readOnly } = useDesigner();
  const rules = node.rules ?? [];
  // Offsets of the drawing fit the drawn text only; while typed text waits to be drawn, rules are read-only.
  const fresh = state.text === state.drawnText && !readOnly;
  const change = (made: ReturnType<typeof setName>, label: string) => {
    if (made && fresh) void edit([made], label);
  };
  const targets = (rule: Rule) =>
    flow.edges.filter((edge) => edge.source === node.name && edge.port === rule.port).map((edge) => edge.target);
  const conditional = rules.filter((rule) => rule.expr !== null);
  return (
    <>
      <Text size="xs" c="dimmed">
        The first rule that holds decides. Draw from “a new rule” on the canvas, or connect below, to add one.
      </Text>
      {conditional.map((rule, index) => {
        const above = conditional[index - 1];
        return (
          <div key={rule.port} className={classes.card}>
            <div className={classes.cardHead}>
              <span>
                {index + 1}. {targets(rule).length > 0 ? `→ ${targets(rule).join(", ")}` : "leads nowhere yet"}
              </span>
              {fresh && (
                <Group gap={2} wrap="nowrap">
                  {above && (
                    <Tooltip label="Decide earlier">
                      <ActionIcon
                        size="sm"
                        variant="subtle"
                        color="gray"
                        aria-label={`Move rule ${index + 1} up`}
                        onClick={() => void edit(swap(state.text, above, rule), "Reorder rules")}
                      >
                        <ArrowUp size={14} aria-hidden />
                      </ActionIcon>
                    </Tooltip>
                  )}
                  <Tooltip label="Remove the rule">
                    <ActionIcon
                      size="sm"
                      variant="subtle"
                      color="gray"
                      aria-label={`Remove rule ${index + 1}`}
                      onClick={() => void edit([remove(state.text, rule)], "Remove a rule")}
                    >
                      <Trash2 size={14} aria-hidden />
                    </ActionIcon>
                  </Tooltip>
                </Group>
              )}
            </div>
            <TextField
              label="Name"
              value={rule.name ?? ""}
              readOnly={!fresh}
              onCommit={(name) => change(setName(state.text, rule, name), "Name a rule")}
            />
            <ExpressionField
              label="Holds when"
              step={node.name}
              place="condition"
              value={rule.expr ?? ""}
              required
              onCommit={(expression) => change(setExpression(state.text, rule, expression), "Change a rule")}
            />
          </div>
        );
      })}
    </>
  );
}
