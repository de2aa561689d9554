// Fourth step: when the flow starts.
import { ActionIcon, Button, Code, Group, NumberInput, Select, Stack, Text, TextInput, Tooltip } from "@mantine/core";
import { Clock, Trash2, Zap } from "lucide-react";
import type { Entity } from "../../models/entity.ts";
import { capabilityOf } from "../../models/graph.ts";
import { urnKey } from "../../models/urn.ts";
import { type Role, type TriggerForm, triggerAction, triggerCondition } from "../publish.ts";
import { CLOCK_UNITS, type ClockUnit } from "../trigger-text.ts";
import classes from "./deploy-page.module.css";
import { newTrigger } from "./form.ts";
import type { StepProps } from "./system-step.tsx";

/** Events a role's device tells. */
function eventsOf(role: Role | undefined, known: ReadonlyMap<string, Entity>): string[] {
  const entity = role && known.get(urnKey(role.urn));
  const capability = entity && capabilityOf(entity, known);
  return (capability ? known.get(urnKey(capability))?.events : undefined)?.map((event) => event.name) ?? [];
}

export function TriggersStep({ form, flow, library, onChange }: StepProps) {
  const known = new Map(library.map((one) => [urnKey(one.id), one]));
  const set = (at: number, trigger: TriggerForm) =>
    onChange({ triggers: form.triggers.map((one, index) => (index === at ? trigger : one)) });
  const talkers = form.roles.filter((role) => eventsOf(role, known).length > 0);
  return (
    <Stack gap="md" maw={760}>
      <Text size="sm" c="dimmed">
        Each trigger starts a run of its own. Without triggers the deployment waits to be started by hand.
      </Text>
      {form.triggers.map((trigger, at) => (
        // biome-ignore lint/suspicious/noArrayIndexKey: triggers are known by their place while their names are typed
        <div key={at} className={classes.role}>
          <Group gap="sm" align="end" wrap="nowrap">
            <TextInput
              size="xs"
              w={150}
              label="Name"
              value={trigger.name}
              onChange={(event) => set(at, { ...trigger, name: event.currentTarget.value })}
            />
            {trigger.kind === "clock" ? (
              <>
                <NumberInput
                  size="xs"
                  w={90}
                  min={1}
                  allowDecimal={false}
                  label="Every"
                  value={trigger.every}
                  onChange={(every) => set(at, { ...trigger, every: Number(every) || 0 })}
                />
                <Select
                  size="xs"
                  w={130}
                  aria-label="Unit"
                  data={CLOCK_UNITS.map((unit) => ({ value: unit, label: `${unit}s` }))}
                  value={trigger.unit}
                  allowDeselect={false}
                  onChange={(unit) => set(at, { ...trigger, unit: (unit ?? trigger.unit) as ClockUnit })}
                />
              </>
            ) : (
              <>
                <Select
                  size="xs"
                  flex={1}
                  label="When"
                  data={talkers.map((role) => role.name)}
                  value={trigger.role || null}
                  placeholder="device"
                  onChange={(role) =>
                    set(at, {
                      ...trigger,
                      role: role ?? "",
                      event:
                        eventsOf(
                          form.roles.find((one) => one.name === role),
                          known,
                        )[0] ?? "",
                    })
                  }
                />
                <Select
                  size="xs"
                  flex={1}
                  label="tells"
                  data={eventsOf(
                    form.roles.find((role) => role.name === trigger.role),
                    known,
                  )}
                  value={trigger.event || null}
                  placeholder="event"
                  onChange={(event) => set(at, { ...trigger, event: event ?? "" })}
                />
                <TextInput
                  size="xs"
                  flex={1.4}
                  label="and"
                  placeholder="isMotionDetected == true"
                  classNames={{ input: classes.mono ?? "" }}
                  value={trigger.when}
                  onChange={(event) => set(at, { ...trigger, when: event.currentTarget.value })}
                />
              </>
            )}
            <Tooltip label="Remove">
              <ActionIcon
                variant="subtle"
                color="gray"
                mb={2}
                aria-label={`Remove trigger ${trigger.name}`}
                onClick={() => onChange({ triggers: form.triggers.filter((_, index) => index !== at) })}
              >
                <Trash2 size={15} aria-hidden />
              </ActionIcon>
            </Tooltip>
          </Group>
          {flow.parameters.length > 0 && (
            <Group gap="sm" mt={8} align="start">
              {flow.parameters.map((parameter, index) => (
                <TextInput
                  key={parameter.name}
                  size="xs"
                  w={230}
                  label={`${parameter.name}: ${parameter.type}`}
                  placeholder={
                    parameter.default === undefined
                      ? parameter.required
                        ? "needed"
                        : "nothing"
                      : String(parameter.default)
                  }
                  classNames={{ input: classes.mono ?? "" }}
                  value={trigger.values[index] ?? ""}
                  onChange={(event) => {
                    const values = flow.parameters.map((_, place) =>
                      place === index ? event.currentTarget.value : (trigger.values[place] ?? ""),
                    );
                    set(at, { ...trigger, values });
                  }}
                />
              ))}
            </Group>
          )}
          <Code block fz={11} mt={8} className={classes.wrap}>
            {`${triggerCondition(trigger)}\n→ ${triggerAction(form.flowRole, trigger.values)}`}
          </Code>
        </div>
      ))}
      <Group gap="sm">
        <Button
          variant="default"
          size="xs"
          leftSection={<Clock size={14} aria-hidden />}
          onClick={() => onChange({ triggers: [...form.triggers, newTrigger("clock", form, flow)] })}
        >
          Every so often
        </Button>
        <Button
          variant="default"
          size="xs"
          leftSection={<Zap size={14} aria-hidden />}
          disabled={talkers.length === 0}
          onClick={() => onChange({ triggers: [...form.triggers, newTrigger("event", form, flow)] })}
        >
          When a device tells something
        </Button>
      </Group>
      {talkers.length === 0 && (
        <Text size="xs" c="dimmed">
          None of the system's devices tells events. A sensor can be added in the first step.
        </Text>
      )}
    </Stack>
  );
}
