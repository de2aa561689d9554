// The rows of the wizard: fields, actions with their inputs, events.
import { Button, Group, Select, TextInput } from "@mantine/core";
import { Plus } from "lucide-react";
import {
  type ActionForm,
  DATA_TYPES,
  type DataType,
  type EventForm,
  type FieldForm,
  MODBUS_OPERATIONS,
  type ModelForm,
} from "./wizard.ts";
import classes from "./wizard-page.module.css";
import { RemoveRow } from "./wizard-remove.tsx";

const TYPES = [...DATA_TYPES];
const replaced = <T,>(rows: readonly T[], at: number, change: Partial<T>): T[] =>
  rows.map((row, index) => (index === at ? { ...row, ...change } : row));
const without = <T,>(rows: readonly T[], at: number): T[] => rows.filter((_, index) => index !== at);
const isNumber = (type: DataType) => /^(U?Int|Float)/.test(type);

export function FieldRows({ rows, onChange }: { rows: readonly FieldForm[]; onChange: (rows: FieldForm[]) => void }) {
  return rows.map((row, at) => (
    // biome-ignore lint/suspicious/noArrayIndexKey: rows are known by their place while they are typed
    <Group key={at} gap={8} mt={6} wrap="nowrap" align="end">
      <TextInput
        size="xs"
        flex={1}
        label={at === 0 ? "Name" : undefined}
        aria-label={`Name of field ${at + 1}`}
        placeholder="pressure"
        value={row.name}
        onChange={(event) => onChange(replaced(rows, at, { name: event.currentTarget.value }))}
      />
      <Select
        size="xs"
        w={110}
        label={at === 0 ? "Type" : undefined}
        aria-label={`Type of field ${at + 1}`}
        data={TYPES}
        allowDeselect={false}
        value={row.type}
        onChange={(type) => onChange(replaced(rows, at, { type: (type ?? row.type) as DataType }))}
      />
      <TextInput
        size="xs"
        w={64}
        label={at === 0 ? "Least" : undefined}
        aria-label={`Least of field ${at + 1}`}
        disabled={!isNumber(row.type)}
        value={row.min}
        onChange={(event) => onChange(replaced(rows, at, { min: event.currentTarget.value }))}
      />
      <TextInput
        size="xs"
        w={64}
        label={at === 0 ? "Most" : undefined}
        aria-label={`Most of field ${at + 1}`}
        disabled={!isNumber(row.type)}
        value={row.max}
        onChange={(event) => onChange(replaced(rows, at, { max: event.currentTarget.value }))}
      />
      <RemoveRow label={`Remove field ${at + 1}`} onClick={() => onChange(without(rows, at))} />
    </Group>
  ));
}

export function EventRows({
  rows,
  hasState,
  onChange,
}: {
  rows: readonly EventForm[];
  hasState: boolean;
  onChange: (rows: EventForm[]) => void;
}) {
  return rows.map((row, at) => (
    // biome-ignore lint/suspicious/noArrayIndexKey: rows are known by their place while they are typed
    <Group key={at} gap={8} mt={6} wrap="nowrap" align="end">
      <TextInput
        size="xs"
        flex={1}
        label={at === 0 ? "Name" : undefined}
        aria-label={`Name of event ${at + 1}`}
        placeholder="overheated"
        value={row.name}
        onChange={(event) => onChange(replaced(rows, at, { name: event.currentTarget.value }))}
      />
      <Select
        size="xs"
        w={120}
        label={at === 0 ? "Carries" : undefined}
        aria-label={`Payload of event ${at + 1}`}
        data={[...(hasState ? [{ value: "state", label: "its state" }] : []), { value: "Json", label: "any JSON" }]}
        allowDeselect={false}
        value={hasState ? row.payload : "Json"}
        onChange={(payload) => onChange(replaced(rows, at, { payload: payload === "state" ? "state" : "Json" }))}
      />
      <TextInput
        size="xs"
        flex={1}
        label={at === 0 ? "Topic below its name" : undefined}
        aria-label={`Topic of event ${at + 1}`}
        placeholder={row.name || "overheated"}
        value={row.topic}
        onChange={(event) => onChange(replaced(rows, at, { topic: event.currentTarget.value }))}
      />
      <RemoveRow label={`Remove event ${at + 1}`} onClick={() => onChange(without(rows, at))} />
    </Group>
  ));
}

export function ActionRows(props: {
  rows: readonly ActionForm[];
  protocol: ModelForm["protocol"];
  hasState: boolean;
  onChange: (rows: ActionForm[]) => void;
}) {
  const { rows, protocol, hasState, onChange } = props;
  const returns = [
    { value: "nothing", label: "nothing" },
    ...(hasState ? [{ value: "state", label: "its state" }] : []),
    ...TYPES.map((type) => ({ value: type as string, label: type as string })),
  ];
  return rows.map((row, at) => {
    const set = (change: Partial<ActionForm>) => onChange(replaced(rows, at, change));
    return (
      // biome-ignore lint/suspicious/noArrayIndexKey: rows are known by their place while they are typed
      <div key={at} className={classes.card}>
        <Group gap={8} wrap="nowrap" align="end">
          <TextInput
            size="xs"
            flex={1}
            label="Name"
            aria-label={`Name of action ${at + 1}`}
            placeholder="run"
            value={row.name}
            onChange={(event) => set({ name: event.currentTarget.value })}
          />
          <Select
            size="xs"
            w={120}
            label="Gives back"
            aria-label={`Result of action ${at + 1}`}
            data={returns}
            allowDeselect={false}
            value={row.returns}
            onChange={(value) => set({ returns: (value ?? "nothing") as ActionForm["returns"] })}
          />
          <RemoveRow label={`Remove action ${at + 1}`} onClick={() => onChange(without(rows, at))} />
        </Group>
        {row.inputs.map((input, index) => (
          // biome-ignore lint/suspicious/noArrayIndexKey: rows are known by their place while they are typed
          <Group key={index} gap={8} mt={6} pl={16} wrap="nowrap" align="end">
            <TextInput
              size="xs"
              flex={1}
              aria-label={`Input ${index + 1} of action ${at + 1}`}
              placeholder="seconds"
              value={input.name}
              onChange={(event) => set({ inputs: replaced(row.inputs, index, { name: event.currentTarget.value }) })}
            />
            <Select
              size="xs"
              w={120}
              aria-label={`Type of input ${index + 1} of action ${at + 1}`}
              data={TYPES}
              allowDeselect={false}
              value={input.type}
              onChange={(type) =>
                set({ inputs: replaced(row.inputs, index, { type: (type ?? input.type) as DataType }) })
              }
            />
            <RemoveRow
              label={`Remove input ${index + 1} of action ${at + 1}`}
              onClick={() => set({ inputs: without(row.inputs, index) })}
            />
          </Group>
        ))}
        <Button
          size="compact-xs"
          variant="subtle"
          mt={6}
          leftSection={<Plus size={12} aria-hidden />}
          onClick={() => set({ inputs: [...row.inputs, { name: "", type: "Float64" }] })}
        >
          Input
        </Button>
        {protocol === "MQTT" && (
          <Group gap={8} grow mt={4}>
            <TextInput
              size="xs"
              label="Asked on"
              aria-label={`Request topic of action ${at + 1}`}
              placeholder={row.name || "run"}
              value={row.request}
              onChange={(event) => set({ request: event.currentTarget.value })}
            />
            <TextInput
              size="xs"
              label="Answers on"
              aria-label={`Response topic of action ${at + 1}`}
              placeholder={row.returns === "nothing" ? "no answer" : `${row.name || "run"}/finished`}
              disabled={row.returns === "nothing"}
              value={row.response}
              onChange={(event) => set({ response: event.currentTarget.value })}
            />
          </Group>
        )}
        {protocol === "Modbus" && (
          <Group gap={8} grow mt={4}>
            <Select
              size="xs"
              label="Operation"
              aria-label={`Operation of action ${at + 1}`}
              data={[...MODBUS_OPERATIONS]}
              allowDeselect={false}
              value={row.operation}
              onChange={(operation) => set({ operation: (operation ?? row.operation) as ActionForm["operation"] })}
            />
            <TextInput
              size="xs"
              label="Address"
              aria-label={`Address of action ${at + 1}`}
              placeholder="0"
              value={row.address}
              onChange={(event) => set({ address: event.currentTarget.value })}
            />
          </Group>
        )}
      </div>
    );
  });
}
