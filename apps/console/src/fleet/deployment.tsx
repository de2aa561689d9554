// One deployment: how far it is, why it waits, core by core; what it asks for.
import { Alert, Button, Group, Progress, Skeleton, Text } from "@mantine/core";
import { useDisclosure } from "@mantine/hooks";
import { CircleAlert, CircleCheck, Hourglass } from "lucide-react";
import { call, useAction, useCall } from "../api/call.ts";
import { May, useMay } from "../api/may.tsx";
import { CodeBlock, Copyable } from "../ui/code-block.tsx";
import { Confirm } from "../ui/confirm.tsx";
import { ErrorPanel } from "../ui/error-panel.tsx";
import { Facts } from "../ui/facts.tsx";
import { arnName, prettyJson, sentence } from "../ui/format.ts";
import { ButtonLink, TextLink, useParam } from "../ui/link.tsx";
import { Page } from "../ui/page.tsx";
import { Columns, Panel } from "../ui/panel.tsx";
import { StatusBadge } from "../ui/status-badge.tsx";
import { When } from "../ui/when.tsx";
import { DeploymentCores } from "./deployment-cores.tsx";
import { DeploymentTimeline } from "./deployment-timeline.tsx";
import { TargetLink } from "./target-link.tsx";
import type { Deployment } from "./types.ts";
import { useExecutions } from "./use-executions.ts";
import { summary } from "./waiting.ts";

const REFRESH_MILLIS = 5_000;

export function DeploymentPage() {
  const id = useParam("id") ?? "";
  const deployment = useCall<Deployment>(
    "greengrassv2",
    "GetDeployment",
    { deploymentId: id },
    { refresh: REFRESH_MILLIS },
  );
  const found = deployment.data;
  return (
    <Page
      title={found ? found.deploymentName || `To ${arnName(found.targetArn)}` : "Deployment"}
      parent={{ label: "Deployments", to: "/deployments" }}
      aside={found && <StatusBadge state={found.deploymentStatus} />}
      actions={
        found && (
          <>
            {found.deploymentStatus === "ACTIVE" && <Cancel id={id} />}
            <May action="greengrass:CreateDeployment">
              <ButtonLink to="/new-deployment" search={{ revise: id }}>
                Revise
              </ButtonLink>
            </May>
          </>
        )
      }
    >
      {deployment.error && <ErrorPanel error={deployment.error} retry={() => void deployment.refetch()} />}
      {deployment.isPending && <Skeleton h={240} />}
      {found && <Found deployment={found} />}
    </Page>
  );
}

function Found({ deployment }: { deployment: Deployment }) {
  const known = useExecutions(deployment);
  const total = known.executions.length;
  const whole = summary(known.executions, known.explanations);
  const share = (statuses: string[]) =>
    total === 0 ? 0 : (100 * known.executions.filter((one) => statuses.includes(one.status)).length) / total;
  const look = { done: CircleCheck, wait: Hourglass, act: CircleAlert }[whole.kind];
  const Icon = look;
  const over = deployment.deploymentStatus !== "ACTIVE" && whole.kind === "wait";
  return (
    <>
      {known.error ? (
        <ErrorPanel error={known.error} title="The state of the cores cannot be read" />
      ) : (
        <Alert
          variant="light"
          color={over ? "gray" : { done: "green", wait: "blue", act: "orange" }[whole.kind]}
          icon={<Icon size={18} aria-hidden />}
          title={over ? `The deployment is ${sentence(deployment.deploymentStatus).toLowerCase()}.` : whole.text}
        >
          <Progress.Root size={8} mt={6} aria-label="Cores by state">
            <Progress.Section value={share(["SUCCEEDED"])} color="green" aria-label="Succeeded" />
            <Progress.Section value={share(["IN_PROGRESS"])} color="blue" aria-label="In progress" />
            <Progress.Section value={share(["FAILED", "REJECTED", "TIMED_OUT"])} color="red" aria-label="Failed" />
          </Progress.Root>
        </Alert>
      )}
      <DeploymentCores known={known} deployment={deployment} />
      <Columns>
        <Panel title="Asks for" flush>
          {Object.keys(deployment.components ?? {}).length === 0 && (
            <Text p="md" size="sm" c="dimmed">
              No components: what this target ran because of earlier revisions is removed.
            </Text>
          )}
          {Object.entries(deployment.components ?? {}).map(([name, component]) => (
            <Group key={name} p="md" gap="md" align="flex-start">
              <div>
                <TextLink to="/component" search={{ name, version: component.componentVersion }} fw={550}>
                  {name}
                </TextLink>{" "}
                {component.componentVersion}
              </div>
              {component.configurationUpdate?.reset && component.configurationUpdate.reset.length > 0 && (
                <Text size="sm" c="dimmed">
                  resets {component.configurationUpdate.reset.map((one) => one || "everything").join(", ")}
                </Text>
              )}
              {component.configurationUpdate?.merge && (
                <div style={{ flex: "1 1 100%", minWidth: 0 }}>
                  <CodeBlock
                    text={prettyJson(component.configurationUpdate.merge)}
                    label={`the configuration for ${name}`}
                  />
                </div>
              )}
            </Group>
          ))}
        </Panel>
        <DeploymentTimeline deployment={deployment} executions={known.executions} />
      </Columns>
      <Panel title="Rules">
        <Facts
          items={[
            ["Target", <TargetLink key="target" arn={deployment.targetArn} />],
            ["Revision", deployment.revisionId],
            ["Made", <When key="when" at={deployment.creationTimestamp} />],
            [
              "When it fails",
              deployment.deploymentPolicies?.failureHandlingPolicy === "DO_NOTHING" ? "Leave as it is" : "Roll back",
            ],
            ["Deployment", <Copyable key="id" text={deployment.deploymentId} label="the deployment's id" />, "wide"],
            [
              "Job",
              deployment.iotJobId ? (
                <Copyable key="job" text={deployment.iotJobId} label="the job's id" />
              ) : (
                "None: straight to one core"
              ),
            ],
          ]}
        />
      </Panel>
    </>
  );
}

function Cancel({ id }: { id: string }) {
  const [opened, dialog] = useDisclosure(false);
  const allowed = useMay("greengrass:CancelDeployment");
  const cancel = useAction({
    run: () => call("greengrassv2", "CancelDeployment", { deploymentId: id }),
    done: () => "The deployment is cancelled.",
    refresh: [["greengrassv2"], ["iot", "ListJobExecutionsForJob"]],
    onDone: dialog.close,
  });
  if (!allowed) return null;
  return (
    <>
      <Button variant="default" onClick={dialog.open}>
        Cancel deployment
      </Button>
      <Confirm
        opened={opened}
        onClose={dialog.close}
        onConfirm={() => cancel.mutate()}
        busy={cancel.isPending}
        title="Cancel this deployment?"
        verb="Cancel deployment"
      >
        <Text size="sm">Cores that have not begun will not begin. Cores that are done stay as they are.</Text>
      </Confirm>
    </>
  );
}
