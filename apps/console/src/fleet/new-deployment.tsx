// A new deployment, or a revision of one: target, components with versions and configuration, what to do on failure.
import { Button, Group, NumberInput, SegmentedControl, Select, Skeleton, Stack, Text, TextInput } from "@mantine/core";
import { useState } from "react";
import { call, useAction, useCall, usePages } from "../api/call.ts";
import { useSession } from "../api/session.ts";
import { ErrorPanel } from "../ui/error-panel.tsx";
import { arnName } from "../ui/format.ts";
import { useGo, useParam } from "../ui/link.tsx";
import { Page } from "../ui/page.tsx";
import { Panel } from "../ui/panel.tsx";
import { ComponentChoice } from "./component-choice.tsx";
import { type Choice, choicesOf, mistake, request } from "./deployment-form.ts";
import type { ComponentSummary, CoreSummary, Deployment, GroupRef } from "./types.ts";

export function NewDeploymentPage() {
  const revise = useParam("revise");
  const base = useCall<Deployment>(
    "greengrassv2",
    "GetDeployment",
    { deploymentId: revise ?? "" },
    { enabled: revise !== undefined },
  );
  const component = useParam("component");
  const version = useParam("version");
  const target = useParam("target");
  return (
    <Page
      title={revise ? "Revise a deployment" : "New deployment"}
      parent={{ label: "Deployments", to: "/deployments" }}
      description="It replaces what earlier deployments asked of the same target. Other groups of a core keep their part."
    >
      {base.error && <ErrorPanel error={base.error} />}
      {revise !== undefined && base.isPending && <Skeleton h={300} />}
      {(revise === undefined || base.data) && (
        <Form
          base={base.data}
          target={base.data?.targetArn ?? target ?? ""}
          choices={
            base.data
              ? choicesOf(base.data)
              : component
                ? [{ name: component, version: version ?? "", merge: "", reset: [] }]
                : []
          }
        />
      )}
    </Page>
  );
}

function Form({ base, target, choices }: { base: Deployment | undefined; target: string; choices: Choice[] }) {
  const go = useGo();
  const [name, setName] = useState(base?.deploymentName ?? "");
  const [targetArn, setTarget] = useState(target);
  const [chosen, setChosen] = useState(choices);
  const [onFailure, setOnFailure] = useState(base?.deploymentPolicies?.failureHandlingPolicy ?? "ROLLBACK");
  const [rate, setRate] = useState<number | "">(
    base?.iotJobConfiguration?.jobExecutionsRolloutConfig?.maximumPerMinute ?? "",
  );
  const components = usePages<{ components: ComponentSummary[] }, ComponentSummary>(
    "greengrassv2",
    "ListComponents",
    { scope: "PRIVATE" },
    { items: (output) => output.components },
  );
  const wrong = mistake(targetArn, chosen);
  const create = useAction({
    run: () =>
      call<{ deploymentId: string }>(
        "greengrassv2",
        "CreateDeployment",
        request({ name, targetArn, choices: chosen, onFailure, rate: rate === "" ? undefined : rate }, base),
      ),
    done: () => "The deployment is on its way.",
    refresh: [["greengrassv2"]],
    onDone: (made) => go({ to: "/deployment", search: { id: made.deploymentId } }),
    quiet: true,
  });
  const free = components.items.filter((one) => !chosen.some((choice) => choice.name === one.componentName));
  const latest = (wanted: string) =>
    components.items.find((one) => one.componentName === wanted)?.latestVersion?.componentVersion ?? "";

  return (
    <form
      onSubmit={(event) => {
        event.preventDefault();
        if (wrong === null) create.mutate();
      }}
    >
      <Stack gap="lg">
        {create.error && <ErrorPanel error={create.error} title="The deployment was not accepted" />}
        <Panel title="Target">
          <Stack gap="sm">
            <TargetChoice value={targetArn} onChange={setTarget} fixed={base !== undefined} />
            <TextInput
              label="Name"
              description="Shown in lists. Optional."
              maw={420}
              value={name}
              onChange={(event) => setName(event.currentTarget.value)}
            />
          </Stack>
        </Panel>
        <Panel title="Components">
          <Stack gap="md">
            {chosen.length === 0 && (
              <Text size="sm" c="dimmed">
                Choose one. Without any, the deployment takes away what earlier ones put on the target.
              </Text>
            )}
            {chosen.map((choice) => (
              <ComponentChoice
                key={choice.name}
                choice={choice}
                onChange={(next) => setChosen(chosen.map((one) => (one.name === choice.name ? next : one)))}
                onRemove={() => setChosen(chosen.filter((one) => one.name !== choice.name))}
              />
            ))}
            <Select
              label="Add a component"
              placeholder={
                components.isPending ? "Loading" : free.length === 0 ? "No other component in this account" : "Choose"
              }
              maw={420}
              searchable
              value={null}
              data={free.map((one) => one.componentName)}
              onChange={(wanted) => {
                if (wanted) setChosen([...chosen, { name: wanted, version: latest(wanted), merge: "", reset: [] }]);
              }}
            />
          </Stack>
        </Panel>
        <Panel title="Rules">
          <Group align="flex-start" gap="xl">
            <div>
              <Text size="sm" fw={500} mb={4} id="on-failure">
                When it fails on a core
              </Text>
              <SegmentedControl
                aria-labelledby="on-failure"
                value={onFailure}
                onChange={setOnFailure}
                data={[
                  { value: "ROLLBACK", label: "Roll back" },
                  { value: "DO_NOTHING", label: "Leave as it is" },
                ]}
              />
            </div>
            {targetArn.includes(":thinggroup/") && (
              <NumberInput
                label="Cores told a minute"
                description="Empty: all at once"
                min={1}
                max={1000}
                w={200}
                value={rate}
                onChange={(value) => setRate(typeof value === "number" ? value : "")}
              />
            )}
          </Group>
        </Panel>
        <Group justify="flex-end">
          {wrong && (
            <Text size="sm" c="dimmed" role="status">
              {wrong}
            </Text>
          )}
          <Button type="submit" loading={create.isPending} disabled={wrong !== null}>
            Deploy
          </Button>
        </Group>
      </Stack>
    </form>
  );
}

function TargetChoice(props: { value: string; onChange: (arn: string) => void; fixed: boolean }) {
  const session = useSession();
  const cores = usePages<{ coreDevices: CoreSummary[] }, CoreSummary>(
    "greengrassv2",
    "ListCoreDevices",
    {},
    { items: (output) => output.coreDevices },
  );
  const groups = usePages<{ thingGroups: GroupRef[] }, GroupRef>(
    "iot",
    "ListThingGroups",
    {},
    { items: (output) => output.thingGroups },
  );
  const thingArn = (name: string) => `arn:aws:iot:${session.region}:${session.account}:thing/${name}`;
  const coreOptions = cores.items.map((core) => ({
    value: thingArn(core.coreDeviceThingName),
    label: core.coreDeviceThingName,
  }));
  const groupOptions = groups.items.map((group) => ({ value: group.groupArn, label: group.groupName }));
  const known = [...coreOptions, ...groupOptions].some((one) => one.value === props.value);
  return (
    <Select
      label="Core or group"
      description={props.fixed ? "A revision keeps its target." : undefined}
      placeholder="Choose"
      maw={420}
      searchable
      disabled={props.fixed}
      value={props.value || null}
      onChange={(arn) => props.onChange(arn ?? "")}
      data={[
        { group: "Groups", items: groupOptions },
        { group: "Cores", items: coreOptions },
        ...(known || props.value === ""
          ? []
          : [{ group: "Other", items: [{ value: props.value, label: arnName(props.value) }] }]),
      ]}
    />
  );
}
