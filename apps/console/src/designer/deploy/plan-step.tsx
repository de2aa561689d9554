// Last step: what the deployment newly allows, its documents, and the deployment itself with its progress.
import { Alert, Badge, Button, Group, Loader, Stack, Table, Tabs, Text, Timeline } from "@mantine/core";
import { Check, CircleAlert, Rocket, X } from "lucide-react";
import { useMemo } from "react";
import { useSession } from "../../api/session.ts";
import { sameUrn } from "../../models/urn.ts";
import { TdmEditor } from "../../tdm-editor/tdm-editor.tsx";
import { ButtonLink } from "../../ui/link.tsx";
import { covers, membersUsed, type Permission, permissions, triggerCondition, type Use } from "../publish.ts";
import { devicesFor, type Grants, useCandidates, useGrants } from "./data.ts";
import classes from "./deploy-page.module.css";
import { deploymentText, systemText } from "./form.ts";
import type { Run } from "./run.ts";
import type { StepProps } from "./system-step.tsx";

export function PlanStep({
  form,
  flow,
  library,
  namespace,
  run,
  ready,
}: StepProps & { namespace: string; run: Run; ready: boolean }) {
  const session = useSession();
  const devices = useMemo(() => {
    const all = form.roles.flatMap((role) => devicesFor(role, library));
    return [...new Map(all.map((one) => [one.id, one])).values()];
  }, [form.roles, library]);
  const candidates = useCandidates(devices);
  const grants = useGrants(form.target === "CLOUD" && form.roleArn !== "" ? form.roleArn : null);
  const asked = useMemo(() => {
    const conditions = form.triggers.map(triggerCondition);
    const uses: Use[] = form.roles.flatMap((role) => {
      const thing = form.things[role.name];
      const entity = candidates.all.find(
        (one) => one.thing === thing && devicesFor(role, library).some((device) => device.id === one.device.id),
      )?.device;
      return thing && entity ? [{ entity, thing, members: membersUsed(flow, role, conditions) }] : [];
    });
    for (const service of library.filter((one) => one.metatype === "Service")) {
      const members = flow.nodes
        .filter((node) => node.kind === "service" && node.urn && sameUrn(node.urn, service.id))
        .map((node) => node.action?.toLowerCase() ?? "");
      if (members.length > 0) uses.push({ entity: service, thing: null, members: new Set(members) });
    }
    return permissions(uses, session.region, session.account);
  }, [form, flow, library, candidates.all, session]);
  const system = systemText(namespace, form, flow);
  const deployment = deploymentText(namespace, form);
  const missing = grants.data ? asked.filter((one) => verdict(one, grants.data) === "no") : [];
  return (
    <Stack gap="md">
      <section aria-label="What this allows">
        <Text fw={600}>What this newly allows</Text>
        <Text size="sm" c="dimmed" mb="xs">
          {form.target === "CLOUD"
            ? "The flow acts with the role. These are all the actions and topics its steps and triggers need."
            : "The gateway gets exactly these subscriptions and calls for the flow, and loses them when it is undeployed."}
        </Text>
        {missing.length > 0 && (
          <Alert color="yellow" icon={<CircleAlert size={17} aria-hidden />} mb="xs">
            The role does not allow {missing.length} of {asked.length} yet. Steps that need them will fail with
            TG.Permission.
          </Alert>
        )}
        {grants.isError && form.target === "CLOUD" && (
          <Text size="xs" c="dimmed" mb="xs">
            Whether the role allows this could not be asked.
          </Text>
        )}
        <div className={classes.scroll}>
          <Table verticalSpacing={5} fz="sm">
            <Table.Thead>
              <Table.Tr>
                <Table.Th>Action</Table.Th>
                <Table.Th>On</Table.Th>
                <Table.Th>For</Table.Th>
                {grants.data && <Table.Th>Role</Table.Th>}
              </Table.Tr>
            </Table.Thead>
            <Table.Tbody>
              {asked.map((one) => (
                <Table.Tr key={`${one.action} ${one.resource}`}>
                  <Table.Td>{one.action}</Table.Td>
                  <Table.Td className={classes.mono}>
                    {one.resource.replace(/^arn:aws:iot(?:thingsgraph)?:[^:]*:[^:]*:/, "")}
                  </Table.Td>
                  <Table.Td c="dimmed">{one.because}</Table.Td>
                  {grants.data && (
                    <Table.Td>
                      <Verdict permission={one} grants={grants.data} />
                    </Table.Td>
                  )}
                </Table.Tr>
              ))}
              {asked.length === 0 && (
                <Table.Tr>
                  <Table.Td colSpan={4} c="dimmed">
                    {candidates.pending
                      ? "Reading what the devices do…"
                      : "Nothing: the flow talks to no device or service."}
                  </Table.Td>
                </Table.Tr>
              )}
            </Table.Tbody>
          </Table>
        </div>
      </section>
      {run.steps.length > 0 && <Progress run={run} />}
      <Group>
        {run.state === "done" && run.deployment ? (
          <ButtonLink to="/live" search={{ id: run.deployment }}>
            Watch it run
          </ButtonLink>
        ) : (
          <Button
            leftSection={<Rocket size={15} aria-hidden />}
            loading={run.state === "running"}
            disabled={!ready}
            onClick={run.start}
          >
            {run.state === "failed" ? "Try again" : "Deploy"}
          </Button>
        )}
        {!ready && run.state === "idle" && (
          <Text size="sm" c="dimmed">
            Something is missing in the steps before.
          </Text>
        )}
      </Group>
      <Tabs defaultValue="deployment">
        <Tabs.List>
          <Tabs.Tab value="deployment">Deployment text</Tabs.Tab>
          {system && <Tabs.Tab value="system">System text</Tabs.Tab>}
        </Tabs.List>
        <Tabs.Panel value="deployment" className={classes.text}>
          <TdmEditor value={deployment} label="Text of the deployment" readOnly />
        </Tabs.Panel>
        {system && (
          <Tabs.Panel value="system" className={classes.text}>
            <TdmEditor value={system} label="Text of the system" readOnly />
          </Tabs.Panel>
        )}
      </Tabs>
    </Stack>
  );
}

function verdict(permission: Permission, grants: Grants): "yes" | "no" | "unknown" {
  if (!/^(iot|lambda):/.test(permission.action)) return "unknown";
  const matches = (one: { action: string; resource: string }) =>
    covers(one.action, permission.action) && covers(one.resource, permission.resource);
  if (grants.denies.some(matches)) return "no";
  return grants.allows.some(matches) ? "yes" : "no";
}

function Verdict({ permission, grants }: { permission: Permission; grants: Grants }) {
  const found = verdict(permission, grants);
  if (found === "unknown") return <Badge color="gray">not checked</Badge>;
  return (
    <Badge
      color={found === "yes" ? "grass" : "yellow"}
      leftSection={found === "yes" ? <Check size={11} aria-hidden /> : <X size={11} aria-hidden />}
      tt="none"
    >
      {found === "yes" ? "allowed" : "not allowed"}
    </Badge>
  );
}

function Progress({ run }: { run: Run }) {
  const done = run.steps.filter((step) => step.state === "done").length;
  return (
    <div role="status" aria-label="Progress of the deployment">
      <Timeline active={done - 1} bulletSize={22} lineWidth={2}>
        {run.steps.map((step) => (
          <Timeline.Item
            key={step.title}
            title={step.title}
            bullet={
              step.state === "done" ? (
                <Check size={12} aria-hidden />
              ) : step.state === "failed" ? (
                <X size={12} aria-hidden />
              ) : step.state === "running" ? (
                <Loader size={10} type="oval" />
              ) : undefined
            }
            {...(step.state === "failed" ? { color: "red" } : {})}
          >
            {step.detail && (
              <Text size="sm" c={step.state === "failed" ? "red" : "dimmed"} className={classes.detail}>
                {step.detail}
              </Text>
            )}
          </Timeline.Item>
        ))}
      </Timeline>
    </div>
  );
}
