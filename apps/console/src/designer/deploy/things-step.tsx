// Third step: which thing plays which role.
import { Button, Group, Loader, Select, Stack, Text, TextInput } from "@mantine/core";
import { useMemo, useState } from "react";
import { call, useAction } from "../../api/call.ts";
import { useMay } from "../../api/may.tsx";
import type { Entity } from "../../models/entity.ts";
import { urnName } from "../../models/urn.ts";
import { ErrorPanel } from "../../ui/error-panel.tsx";
import { GRAPH } from "../api.ts";
import type { Role } from "../publish.ts";
import { devicesFor, useCandidates } from "./data.ts";
import classes from "./deploy-page.module.css";
import type { StepProps } from "./system-step.tsx";

export function ThingsStep({ form, library, onChange }: StepProps) {
  if (form.roles.length === 0) {
    return (
      <Text size="sm" c="dimmed">
        The system has no devices: there is nothing to bind.
      </Text>
    );
  }
  return (
    <Stack gap="md" maw={680}>
      <Text size="sm" c="dimmed">
        A role is played by a thing of the registry. Only things that are known to be such a device are offered; others
        can be introduced here.
      </Text>
      {form.roles.map((role) => (
        <RoleRow
          key={role.name}
          role={role}
          thing={form.things[role.name] ?? ""}
          library={library}
          onThing={(thing) => onChange((now) => ({ things: { ...now.things, [role.name]: thing } }))}
        />
      ))}
    </Stack>
  );
}

function RoleRow({
  role,
  thing,
  library,
  onThing,
}: {
  role: Role;
  thing: string;
  library: readonly Entity[];
  onThing: (thing: string) => void;
}) {
  const devices = useMemo(() => devicesFor(role, library), [role, library]);
  const found = useCandidates(devices);
  const [adding, setAdding] = useState(false);
  const mayAssociate = useMay("iotthingsgraph:AssociateEntityToThing");
  return (
    <div className={classes.role}>
      <Group gap="sm" align="end" wrap="nowrap">
        <Select
          flex={1}
          searchable
          label={role.name}
          description={urnName(role.urn)}
          placeholder={found.pending ? "Reading…" : found.all.length === 0 ? "No thing is one yet" : "Choose a thing"}
          rightSection={found.pending ? <Loader size="xs" /> : undefined}
          data={[
            ...new Map(
              found.all.map((one) => [
                one.thing,
                { value: one.thing, label: `${one.thing} · ${urnName(one.device.id)}` },
              ]),
            ).values(),
          ]}
          value={thing || null}
          onChange={(value) => onThing(value ?? "")}
        />
        {mayAssociate && (
          <Button size="sm" variant="default" onClick={() => setAdding(!adding)} aria-expanded={adding}>
            Another thing…
          </Button>
        )}
      </Group>
      {found.error ? <ErrorPanel error={found.error} /> : null}
      {adding && (
        <Associate
          devices={devices}
          onDone={(name) => {
            setAdding(false);
            onThing(name);
          }}
        />
      )}
      {devices.length === 0 && (
        <Text size="xs" c="red" mt={4}>
          Nothing implements this model: upload a device for it first.
        </Text>
      )}
    </div>
  );
}

function Associate({ devices, onDone }: { devices: readonly Entity[]; onDone: (thing: string) => void }) {
  const [name, setName] = useState("");
  const [device, setDevice] = useState<string | null>(devices[0]?.id ?? null);
  const associate = useAction({
    run: () => call(GRAPH, "AssociateEntityToThing", { thingName: name.trim(), entityId: device }),
    done: () => `${name.trim()} is a ${urnName(device ?? "")} now`,
    refresh: [[GRAPH, "SearchThings"]],
    onDone: () => onDone(name.trim()),
  });
  return (
    <Group gap="sm" mt="xs" align="end">
      <TextInput
        size="xs"
        flex={1}
        label="Name of the thing"
        description="It must exist in the registry"
        value={name}
        onChange={(event) => setName(event.currentTarget.value)}
      />
      <Select
        size="xs"
        flex={1}
        label="Is a"
        data={devices.map((one) => ({ value: one.id, label: urnName(one.id) }))}
        value={device}
        onChange={setDevice}
      />
      <Button
        size="xs"
        disabled={name.trim() === "" || !device}
        loading={associate.isPending}
        onClick={() => associate.mutate()}
      >
        Introduce it
      </Button>
    </Group>
  );
}
