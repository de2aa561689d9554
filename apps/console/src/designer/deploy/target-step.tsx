// Second step: where the flow runs and on whose authority.
import { Autocomplete, Radio, Stack, Text, TextInput } from "@mantine/core";
import { useEffect } from "react";
import { useBuckets, useFlowRoles, useGroups } from "./data.ts";
import classes from "./deploy-page.module.css";
import { deploymentUrn } from "./form.ts";
import type { StepProps } from "./system-step.tsx";

export function TargetStep({ form, onChange, namespace }: StepProps & { namespace: string }) {
  const roles = useFlowRoles();
  const groups = useGroups(form.target === "GREENGRASS");
  const buckets = useBuckets(form.target === "GREENGRASS");
  const [usual] = buckets;
  // Most installations have one: it stands there until somebody writes another.
  // biome-ignore lint/correctness/useExhaustiveDependencies: once it is known, not at every change of the form
  useEffect(() => {
    if (usual !== undefined) onChange((now) => (now.bucket === "" ? { bucket: usual } : {}));
  }, [usual]);
  return (
    <Stack gap="md" maw={560}>
      <TextInput
        label="Name of the deployment"
        value={form.name}
        description={deploymentUrn(namespace, form)}
        onChange={(event) => onChange({ name: event.currentTarget.value })}
      />
      <Radio.Group
        label="Where it runs"
        value={form.target}
        onChange={(target) => onChange({ target: target as "CLOUD" | "GREENGRASS" })}
      >
        <div className={classes.cards}>
          <Radio.Card value="CLOUD" className={classes.card} aria-label="In the control plane">
            <Radio.Indicator />
            <div>
              <Text fw={600}>In the control plane</Text>
              <Text size="xs" c="dimmed">
                Reaches every device that is connected to Marram. Acts with a role.
              </Text>
            </div>
          </Radio.Card>
          <Radio.Card value="GREENGRASS" className={classes.card} aria-label="On a gateway">
            <Radio.Indicator />
            <div>
              <Text fw={600}>On a gateway</Text>
              <Text size="xs" c="dimmed">
                Runs next to the devices and goes on when the network is gone. Speaks Modbus.
              </Text>
            </div>
          </Radio.Card>
        </div>
      </Radio.Group>
      {form.target === "CLOUD" ? (
        <Autocomplete
          label="Role"
          description="What the flow may do is what this role may do. Things Graph must be trusted by it."
          placeholder="arn:aws:iam::…:role/…"
          data={(roles.data ?? []).map((role) => role.arn)}
          value={form.roleArn}
          onChange={(roleArn) => onChange({ roleArn })}
          error={
            roles.data?.find((role) => role.arn === form.roleArn && !role.trusted)
              ? "Things Graph is not trusted by this role."
              : undefined
          }
        />
      ) : (
        <>
          <Autocomplete
            label="Thing group of the gateway"
            description="Every core in it runs the flow"
            data={groups.data ?? []}
            value={form.group}
            onChange={(group) => onChange({ group })}
          />
          <Autocomplete
            label="Bucket"
            description="Takes the signed package of the flow"
            placeholder="flows"
            data={buckets}
            value={form.bucket}
            onChange={(bucket) => onChange({ bucket })}
          />
        </>
      )}
    </Stack>
  );
}
