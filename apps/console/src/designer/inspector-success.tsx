// What a step checks when its activity is done: each check raises events or sets variables, if it holds or if not.
import { ActionIcon, Button, Group, Menu, Text, Tooltip } from "@mantine/core";
import { Plus, Trash2 } from "lucide-react";
import { useDesigner } from "./context.ts";
import type { Check, FlowNode } from "./drawing.ts";
import { ExpressionField } from "./expression-field.tsx";
import classes from "./inspector.module.css";
import { ClauseHead } from "./inspector-errors.tsx";
import { TextField } from "./text-field.tsx";

const RAISES = /^\s*\$?(\w+)\.IsTrue\s*=\s*true\s*$/i;
const WORD = /^[A-Za-z_]\w*$/;

/** The event a statement raises; null when it does something else. */
export function raised(statement: string): string | null {
  return RAISES.exec(statement)?.[1] ?? null;
}

export const raise = (event: string) => `$${event}.IsTrue = true`;

/** `wanted`, or with a number behind it, so that it names no event, variable or parameter yet. */
export function freshEvent(
  flow: {
    events: readonly string[];
    variables: readonly { name: string }[];
    parameters: readonly { name: string }[];
  },
  wanted: string,
): string {
  const taken = new Set(
    [...flow.events, ...[...flow.variables, ...flow.parameters].map((one) => one.name)].map((name) =>
      name.toLowerCase(),
    ),
  );
  let name = wanted;
  for (let number = 2; taken.has(name.toLowerCase()); number += 1) name = `${wanted}${number}`;
  return name;
}

export function Checks({ node }: { node: FlowNode }) {
  const { flow, key, edit, readOnly } = useDesigner();
  const checks: Check[] = (node.onSuccess ?? []).map(({ name, condition, pass, fail }) => ({
    name,
    condition,
    pass,
    fail,
  }));
  const set = (next: readonly Check[], label: string) =>
    void edit([{ op: "set-on-success", flow: key, node: node.name, checks: next }], label);
  const change = (index: number, part: Partial<Check>) =>
    set(
      checks.map((one, at) => (at === index ? { ...one, ...part } : one)),
      `Change a check of “${node.name}”`,
    );
  const add = () => {
    const held = { condition: node.out ? `\${${node.out} != null}` : "${true}", name: "check" };
    set([...checks, { ...held, pass: [raise(freshEvent(flow, "passed"))], fail: [] }], `Add a check to “${node.name}”`);
  };
  return (
    <>
      {checks.length === 0 && (
        <Text size="xs" c="dimmed">
          A check looks at what came back, before the next steps run, and goes other ways beside them.
        </Text>
      )}
      {checks.map((check, index) => (
        // biome-ignore lint/suspicious/noArrayIndexKey: checks are a list in order, their names may be missing
        <div key={index} className={classes.card}>
          <ClauseHead
            title="Check"
            label={`check ${index + 1}`}
            hidden={readOnly}
            onUp={index === 0 ? undefined : () => set(swapped(checks, index), "Reorder checks")}
            onRemove={() =>
              set(
                checks.filter((_, at) => at !== index),
                `Remove a check of “${node.name}”`,
              )
            }
          />
          <TextField
            label="Name"
            value={check.name ?? ""}
            readOnly={readOnly}
            onCommit={(name) => change(index, { name: name.trim() === "" ? null : name })}
          />
          <ExpressionField
            label="Holds when"
            step={node.name}
            place="condition"
            required
            value={check.condition ?? ""}
            onCommit={(condition) => condition.trim() !== "" && change(index, { condition })}
          />
          <Statements
            node={node}
            index={index}
            title="When it holds"
            port={`pass:${index}`}
            fresh="passed"
            value={check.pass}
            onChange={(pass) => change(index, { pass })}
          />
          <Statements
            node={node}
            index={index}
            title="When it does not"
            port={`fail:${index}`}
            fresh="notPassed"
            value={check.fail}
            onChange={(fail) => change(index, { fail })}
          />
        </div>
      ))}
      {!readOnly && (
        <Group gap="xs">
          <Button
            size="compact-xs"
            variant="default"
            leftSection={<Plus size={13} aria-hidden />}
            onClick={add}
            aria-label="Add a check"
          >
            Check
          </Button>
        </Group>
      )}
    </>
  );
}

export function swapped<T>(list: readonly T[], index: number): T[] {
  const next = [...list];
  const [one] = next.splice(index, 1);
  if (one !== undefined) next.splice(index - 1, 0, one);
  return next;
}

interface StatementsProps {
  node: FlowNode;
  index: number;
  title: string;
  port: string;
  fresh: string;
  value: readonly string[];
  onChange: (next: readonly string[]) => void;
}

function Statements({ node, index, title, port, fresh, value, onChange }: StatementsProps) {
  const { flow, readOnly } = useDesigner();
  const targets = flow.edges.filter((edge) => edge.source === node.name && edge.port === port);
  const replace = (at: number, statement: string) =>
    onChange(value.map((one, place) => (place === at ? statement : one)));
  const variable = flow.variables[0]?.name;
  return (
    <fieldset className={classes.arm}>
      <legend>
        {title}
        {targets.length > 0 && <span className={classes.goes}> → {targets.map((edge) => edge.target).join(", ")}</span>}
      </legend>
      {value.length === 0 && (
        <Text size="xs" c="dimmed">
          Nothing more happens.
        </Text>
      )}
      {value.map((statement, at) => {
        const event = raised(statement);
        return (
          // biome-ignore lint/suspicious/noArrayIndexKey: statements are a list in order
          <div key={at} className={classes.statement}>
            {event === null ? (
              <ExpressionField
                label="Set"
                step={node.name}
                place="statement"
                value={statement}
                onCommit={(text) => text.trim() !== "" && replace(at, text)}
              />
            ) : (
              <TextField
                label="Raise the event"
                value={event}
                readOnly={readOnly}
                check={(text) => (WORD.test(text) ? null : "Letters, digits and underscores.")}
                onCommit={(text) => replace(at, raise(text))}
              />
            )}
            {!readOnly && (
              <Tooltip label="Remove">
                <ActionIcon
                  size="sm"
                  mb={4}
                  variant="subtle"
                  color="gray"
                  aria-label={`Remove statement ${at + 1} of check ${index + 1}`}
                  onClick={() => onChange(value.filter((_, place) => place !== at))}
                >
                  <Trash2 size={13} aria-hidden />
                </ActionIcon>
              </Tooltip>
            )}
          </div>
        );
      })}
      {!readOnly && (
        <Menu position="bottom-start">
          <Menu.Target>
            <Button
              size="compact-xs"
              variant="subtle"
              color="gray"
              leftSection={<Plus size={12} aria-hidden />}
              aria-label={`${title}: add to check ${index + 1}`}
            >
              Add
            </Button>
          </Menu.Target>
          <Menu.Dropdown>
            <Menu.Item onClick={() => onChange([...value, raise(freshEvent(flow, fresh))])}>Raise an event</Menu.Item>
            <Menu.Item
              disabled={variable === undefined}
              onClick={() => onChange([...value, `$${variable} = ${node.out ?? "true"}`])}
            >
              Set a variable
            </Menu.Item>
          </Menu.Dropdown>
        </Menu>
      )}
    </fieldset>
  );
}
