// The fields of a trigger: when it starts something, what it starts, and with which values.
import { Autocomplete, Button, Code, Group, NumberInput, Select, Text } from "@mantine/core";
import { Plus } from "lucide-react";
import type { FlowNode, TriggerAction } from "./drawing.ts";
import classes from "./inspector.module.css";
import { ClauseHead } from "./inspector-errors.tsx";
import { TextField } from "./text-field.tsx";
import {
  CLOCK_UNITS,
  type ClockUnit,
  type Condition,
  readCondition,
  writeAction,
  writeCondition,
} from "./trigger-text.ts";

/** A device a condition may listen to, with the events it tells where they are known. */
export interface Teller {
  readonly name: string;
  readonly events: readonly string[];
}

/** A flow an action may start, with what it takes. */
export interface Startable {
  readonly role: string;
  readonly parameters: readonly { readonly name: string; readonly type: string; readonly required?: boolean }[];
}

export interface TriggerChange {
  readonly name?: string;
  readonly description?: string | null;
  readonly condition?: string;
  readonly actions?: readonly string[];
}

export interface TriggerFieldsProps {
  node: FlowNode;
  tellers: readonly Teller[];
  flows: readonly Startable[];
  taken: (name: string) => boolean;
  readOnly: boolean;
  onChange: (change: TriggerChange) => void;
}

export function TriggerFields({ node, tellers, flows, taken, readOnly, onChange }: TriggerFieldsProps) {
  const text = node.condition ?? "";
  const condition = readCondition(text);
  const set = (next: Condition) => onChange({ condition: writeCondition(next) });
  return (
    <>
      <TextField
        label="Name"
        value={node.name}
        readOnly={readOnly}
        check={(name) =>
          !/^[A-Za-z_]\w*$/.test(name)
            ? "Letters, digits and underscores."
            : taken(name)
              ? "Another trigger has this name."
              : null
        }
        onCommit={(name) => onChange({ name })}
      />
      {condition?.kind === "clock" && <ClockFields condition={condition} readOnly={readOnly} onChange={set} />}
      {condition?.kind === "event" && (
        <EventFields condition={condition} tellers={tellers} readOnly={readOnly} onChange={set} />
      )}
      <TextField
        label={condition === null ? "Condition" : "As it is written"}
        classNames={{ input: classes.mono ?? "" }}
        value={text}
        readOnly={readOnly}
        check={(typed) => (typed.trim() === "" ? "A trigger needs a condition." : null)}
        onCommit={(typed) => onChange({ condition: typed })}
      />
      <Starts node={node} flows={flows} readOnly={readOnly} onChange={onChange} />
      <TextField
        label="Description"
        placeholder="Why does it start?"
        value={node.description ?? ""}
        readOnly={readOnly}
        onCommit={(description) => onChange({ description: description.trim() === "" ? null : description })}
      />
    </>
  );
}

interface ClockProps {
  condition: Extract<Condition, { kind: "clock" }>;
  readOnly: boolean;
  onChange: (next: Condition) => void;
}

function ClockFields({ condition, readOnly, onChange }: ClockProps) {
  return (
    <Group gap={8} wrap="nowrap" align="end">
      <NumberInput
        key={condition.every}
        size="xs"
        w={90}
        min={1}
        allowDecimal={false}
        label="Every"
        defaultValue={condition.every}
        readOnly={readOnly}
        onKeyDown={(event) => {
          event.stopPropagation();
          if (event.key === "Enter") event.currentTarget.blur();
        }}
        onBlur={(event) => {
          const every = Math.floor(Number(event.currentTarget.value));
          if (every >= 1 && every !== condition.every) onChange({ ...condition, every });
        }}
      />
      <Select
        size="xs"
        flex={1}
        aria-label="Unit"
        data={CLOCK_UNITS.map((unit) => ({ value: unit, label: `${unit}s` }))}
        value={condition.unit}
        readOnly={readOnly}
        allowDeselect={false}
        onChange={(unit) => unit && onChange({ ...condition, unit: unit as ClockUnit })}
      />
    </Group>
  );
}

interface EventProps {
  condition: Extract<Condition, { kind: "event" }>;
  tellers: readonly Teller[];
  readOnly: boolean;
  onChange: (next: Condition) => void;
}

function EventFields({ condition, tellers, readOnly, onChange }: EventProps) {
  const teller = tellers.find((one) => one.name.toLowerCase() === condition.role.toLowerCase());
  const commit = (change: Partial<typeof condition>) => {
    const next = { ...condition, ...change };
    if (next.role !== condition.role || next.event !== condition.event || next.when !== condition.when) onChange(next);
  };
  return (
    <>
      <Group gap={8} wrap="nowrap" align="start" grow>
        <Picked
          label="When"
          placeholder="device"
          options={tellers.map((one) => one.name)}
          value={condition.role}
          readOnly={readOnly}
          onCommit={(role) => {
            const events = tellers.find((one) => one.name === role)?.events ?? [];
            const known = events.includes(condition.event) || events.length === 0;
            commit({ role, event: known ? condition.event || (events[0] ?? "") : (events[0] ?? "") });
          }}
        />
        <Picked
          label="tells"
          placeholder="event"
          options={teller?.events ?? []}
          value={condition.event}
          readOnly={readOnly}
          onCommit={(event) => commit({ event })}
        />
      </Group>
      <TextField
        label="and"
        placeholder="isMotionDetected == true"
        classNames={{ input: classes.mono ?? "" }}
        value={condition.when}
        readOnly={readOnly}
        onCommit={(when) => commit({ when: when.trim() })}
      />
    </>
  );
}

/** A name that is chosen where names are known, typed where they are not. */
function Picked(props: {
  label: string;
  placeholder: string;
  options: readonly string[];
  value: string;
  readOnly: boolean;
  onCommit: (value: string) => void;
}) {
  return (
    <Autocomplete
      key={props.value}
      size="xs"
      label={props.label}
      placeholder={props.placeholder}
      data={[...new Set(props.options)]}
      defaultValue={props.value}
      readOnly={props.readOnly}
      onOptionSubmit={props.onCommit}
      onKeyDown={(event) => {
        event.stopPropagation();
        if (event.key === "Enter") event.currentTarget.blur();
      }}
      onBlur={(event) => props.onCommit(event.currentTarget.value.trim())}
    />
  );
}

interface StartsProps {
  node: FlowNode;
  flows: readonly Startable[];
  readOnly: boolean;
  onChange: (change: TriggerChange) => void;
}

function Starts({ node, flows, readOnly, onChange }: StartsProps) {
  const starts = node.starts ?? [];
  const set = (next: readonly string[]) => onChange({ actions: next });
  const texts = starts.map((one) => one.expr);
  const unused = flows.find((flow) => !starts.some((one) => same(one.flow, flow.role))) ?? flows[0];
  return (
    <>
      {starts.map((start, index) => (
        // biome-ignore lint/suspicious/noArrayIndexKey: actions are a list in order, several may start the same flow
        <div key={index} className={classes.card}>
          <ClauseHead
            title={start.flow === null ? "Does" : `Starts ${start.flow}`}
            label={`action ${index + 1}`}
            hidden={readOnly}
            onRemove={() => set(texts.filter((_, at) => at !== index))}
          />
          <Values
            start={start}
            flow={flows.find((flow) => same(start.flow, flow.role))}
            readOnly={readOnly}
            onChange={(text) => set(texts.map((one, at) => (at === index ? text : one)))}
          />
        </div>
      ))}
      {starts.length === 0 && (
        <Text size="xs" c="dimmed">
          Nothing is started yet.
        </Text>
      )}
      {!readOnly && unused && (
        <Group>
          <Button
            size="compact-xs"
            variant="default"
            leftSection={<Plus size={13} aria-hidden />}
            onClick={() => set([...texts, writeAction(unused.role, [])])}
          >
            Start {unused.role}
          </Button>
        </Group>
      )}
    </>
  );
}

const same = (one: string | null, other: string) => one?.toLowerCase() === other.toLowerCase();

function Values(props: {
  start: TriggerAction;
  flow: Startable | undefined;
  readOnly: boolean;
  onChange: (text: string) => void;
}) {
  const { start, flow, readOnly, onChange } = props;
  const { flow: role } = start;
  if (role === null || flow === undefined) {
    return (
      <TextField
        label="Action"
        classNames={{ input: classes.mono ?? "" }}
        value={start.expr}
        readOnly={readOnly}
        onCommit={onChange}
      />
    );
  }
  return (
    <>
      {flow.parameters.map((parameter, index) => (
        <TextField
          key={parameter.name}
          label={`${parameter.name}: ${parameter.type}`}
          placeholder={parameter.required ? "needed" : "nothing"}
          classNames={{ input: classes.mono ?? "" }}
          value={start.values[index] === "null" ? "" : (start.values[index] ?? "")}
          readOnly={readOnly}
          onCommit={(value) =>
            onChange(
              writeAction(
                role,
                flow.parameters.map((_, at) =>
                  at === index ? value : start.values[at] === "null" ? "" : (start.values[at] ?? ""),
                ),
              ),
            )
          }
        />
      ))}
      {flow.parameters.length === 0 && <Code fz={11}>{start.expr}</Code>}
    </>
  );
}
