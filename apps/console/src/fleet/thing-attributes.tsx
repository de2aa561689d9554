// The attributes of a thing, edited together and saved against the version that was read.
import { ActionIcon, Button, Group, Stack, Text, TextInput } from "@mantine/core";
import { Plus, X } from "lucide-react";
import { useState } from "react";
import { call, useAction } from "../api/call.ts";
import { useMay } from "../api/may.tsx";
import { ErrorPanel } from "../ui/error-panel.tsx";
import { Facts } from "../ui/facts.tsx";
import { Panel } from "../ui/panel.tsx";
import type { Thing } from "./types.ts";

interface Row {
  id: number;
  name: string;
  value: string;
}

let nextId = 0;
const rowsOf = (thing: Thing): Row[] =>
  Object.entries(thing.attributes ?? {}).map(([name, value]) => ({ id: nextId++, name, value }));

export function ThingAttributes({ thing }: { thing: Thing }) {
  const mayChange = useMay("iot:UpdateThing");
  const [rows, setRows] = useState<Row[] | null>(null);
  const save = useAction({
    run: (edited: Row[]) =>
      call("iot", "UpdateThing", {
        thingName: thing.thingName,
        expectedVersion: thing.version,
        attributePayload: { attributes: Object.fromEntries(edited.map((row) => [row.name, row.value])), merge: false },
      }),
    done: () => "The attributes are saved.",
    refresh: [
      ["iot", "DescribeThing"],
      ["iot", "ListThings"],
    ],
    onDone: () => setRows(null),
    quiet: true,
  });
  const names = rows?.map((row) => row.name) ?? [];
  const twice = names.find((name, index) => names.indexOf(name) !== index);
  const valid = rows?.every((row) => /^[a-zA-Z0-9_.,@/:#-]{1,128}$/.test(row.name)) && twice === undefined;

  return (
    <Panel
      title="Attributes"
      aside={
        mayChange &&
        rows === null && (
          <Button size="xs" variant="default" onClick={() => setRows(rowsOf(thing))}>
            Edit
          </Button>
        )
      }
    >
      {rows === null ? (
        Object.keys(thing.attributes ?? {}).length > 0 ? (
          <Facts items={Object.entries(thing.attributes ?? {})} />
        ) : (
          <Text size="sm" c="dimmed">
            None. Attributes are what things are searched and grouped by.
          </Text>
        )
      ) : (
        <form
          onSubmit={(event) => {
            event.preventDefault();
            if (valid) save.mutate(rows);
          }}
        >
          <Stack gap="xs">
            {save.error && <ErrorPanel error={save.error} title="The attributes were not saved" />}
            {rows.map((row) => (
              <Group key={row.id} gap="xs" wrap="nowrap">
                <TextInput
                  size="xs"
                  aria-label="Name"
                  placeholder="name"
                  flex={1}
                  value={row.name}
                  onChange={(event) => setRows(change(rows, row.id, { name: event.currentTarget.value }))}
                />
                <TextInput
                  size="xs"
                  aria-label={`Value of ${row.name}`}
                  placeholder="value"
                  flex={2}
                  value={row.value}
                  onChange={(event) => setRows(change(rows, row.id, { value: event.currentTarget.value }))}
                />
                <ActionIcon
                  variant="subtle"
                  color="gray"
                  aria-label={`Remove ${row.name}`}
                  onClick={() => setRows(rows.filter((one) => one.id !== row.id))}
                >
                  <X size={16} aria-hidden />
                </ActionIcon>
              </Group>
            ))}
            <Group justify="space-between">
              <Button
                size="xs"
                variant="subtle"
                leftSection={<Plus size={14} aria-hidden />}
                onClick={() => setRows([...rows, { id: nextId++, name: "", value: "" }])}
              >
                Add
              </Button>
              <Group gap="xs">
                {twice !== undefined && (
                  <Text size="xs" c="dimmed" role="status">
                    {twice} stands there twice
                  </Text>
                )}
                <Button size="xs" variant="default" onClick={() => setRows(null)}>
                  Cancel
                </Button>
                <Button size="xs" type="submit" loading={save.isPending} disabled={!valid}>
                  Save
                </Button>
              </Group>
            </Group>
          </Stack>
        </form>
      )}
    </Panel>
  );
}

function change(rows: Row[], id: number, part: Partial<Row>): Row[] {
  return rows.map((row) => (row.id === id ? { ...row, ...part } : row));
}
