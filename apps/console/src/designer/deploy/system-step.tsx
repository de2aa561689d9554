// First step: the system, which says what devices there are.
import { ActionIcon, Group, Radio, Select, Stack, Table, Text, TextInput, Tooltip } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { Trash2 } from "lucide-react";
import type { Entity } from "../../models/entity.ts";
import { sameUrn, toName, urnName } from "../../models/urn.ts";
import { readTemplate, useSystems } from "../api.ts";
import { freshName } from "../clipboard.ts";
import type { Flow } from "../drawing.ts";
import { type Role, readSystem, rolesOf, storedTriggers } from "../publish.ts";
import type { DeployForm } from "./form.ts";

export interface StepProps {
  form: DeployForm;
  flow: Flow;
  library: readonly Entity[];
  /** A function sees the form as it is then: answers may come after other changes. */
  onChange: (change: Partial<DeployForm> | ((form: DeployForm) => Partial<DeployForm>)) => void;
}

export function SystemStep({ form, flow, library, onChange }: StepProps) {
  const systems = useSystems(flow.urn ?? undefined);
  const chosen = useQuery({
    queryKey: ["deploy-system", form.system],
    queryFn: async ({ signal }) => readTemplate("System", form.system ?? "", undefined, signal),
    enabled: form.system !== null,
  });
  const choose = async (urn: string) => {
    const template = await readTemplate("System", urn);
    if (!template) return;
    const read = readSystem(template.definition.text);
    const own = rolesOf(flow);
    const roles = read.things.map(
      (thing): Role => ({
        ...thing,
        parameter: own.find((role) => role.name.toLowerCase() === thing.name.toLowerCase())?.parameter ?? null,
      }),
    );
    const flowRole = read.flows.find((one) => sameUrn(one.urn, flow.urn ?? ""))?.name ?? flow.name;
    onChange({ system: urn, roles, flowRole, things: {}, triggers: storedTriggers(flow, roles) });
  };
  const models = library.filter((one) => one.metatype === "DeviceModel" || one.metatype === "Device");
  return (
    <Stack gap="md">
      <Text size="sm" c="dimmed">
        A system names the devices of a place and the flows that run there. The same system can be deployed many times,
        each time with other things.
      </Text>
      <Radio.Group
        value={form.system === null ? "new" : "existing"}
        onChange={(value) => {
          const first = systems.items[0];
          if (value === "new") {
            const roles = rolesOf(flow);
            onChange({ system: null, roles, flowRole: flow.name, things: {}, triggers: storedTriggers(flow, roles) });
          }
          if (value === "existing" && first) void choose(first.id);
        }}
        aria-label="System"
      >
        <Group gap="lg">
          <Radio value="new" label="Make a system for this flow" />
          <Radio value="existing" label="Use one that has this flow" disabled={systems.items.length === 0} />
        </Group>
      </Radio.Group>
      {form.system === null ? (
        <TextInput
          label="Name of the system"
          maw={360}
          value={form.systemName}
          description={toName(form.systemName)}
          onChange={(event) => onChange({ systemName: event.currentTarget.value })}
        />
      ) : (
        <Select
          label="System"
          maw={360}
          data={systems.items.map((one) => ({ value: one.id, label: urnName(one.id) }))}
          value={form.system}
          allowDeselect={false}
          onChange={(urn) => urn && void choose(urn)}
        />
      )}
      <Table verticalSpacing={6} fz="sm" maw={720}>
        <Table.Thead>
          <Table.Tr>
            <Table.Th>Role</Table.Th>
            <Table.Th>What it must be</Table.Th>
            <Table.Th>Used by</Table.Th>
            <Table.Th aria-label="Remove" />
          </Table.Tr>
        </Table.Thead>
        <Table.Tbody>
          {form.roles.map((role) => (
            <Table.Tr key={role.name}>
              <Table.Td fw={500}>{role.name}</Table.Td>
              <Table.Td>{urnName(role.urn)}</Table.Td>
              <Table.Td c="dimmed">{role.parameter === null ? "triggers" : `the flow's “${role.parameter}”`}</Table.Td>
              <Table.Td>
                {form.system === null &&
                  role.parameter === null &&
                  !rolesOf(flow).some((one) => one.name === role.name) && (
                    <Tooltip label="Remove">
                      <ActionIcon
                        variant="subtle"
                        color="gray"
                        aria-label={`Remove ${role.name}`}
                        onClick={() =>
                          onChange({
                            roles: form.roles.filter((one) => one !== role),
                            triggers: form.triggers.filter((one) => one.kind === "clock" || one.role !== role.name),
                          })
                        }
                      >
                        <Trash2 size={15} aria-hidden />
                      </ActionIcon>
                    </Tooltip>
                  )}
              </Table.Td>
            </Table.Tr>
          ))}
          {form.roles.length === 0 && (
            <Table.Tr>
              <Table.Td colSpan={4} c="dimmed">
                This flow uses no devices.
              </Table.Td>
            </Table.Tr>
          )}
        </Table.Tbody>
      </Table>
      {form.system === null && (
        <Select
          label="Add a device for triggers"
          description="A sensor whose event starts the flow need not be a step of it"
          maw={360}
          searchable
          placeholder="Motion sensor, button, …"
          data={models.map((one) => ({
            value: one.id,
            label: `${urnName(one.id)} · ${one.metatype === "Device" ? "device" : "model"}`,
          }))}
          value={null}
          onChange={(urn) => {
            if (!urn) return;
            const taken = new Set(
              [...form.roles.map((role) => role.name), form.flowRole].map((name) => name.toLowerCase()),
            );
            const stem = toName(urnName(urn).split("/").at(-1) ?? "device");
            const name = toName(freshName(stem.charAt(0).toLowerCase() + stem.slice(1), taken));
            onChange({ roles: [...form.roles, { name, urn, parameter: null }] });
          }}
        />
      )}
      {chosen.isError && <Text c="red">The system cannot be read.</Text>}
    </Stack>
  );
}
