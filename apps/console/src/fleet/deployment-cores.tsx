// The cores of a deployment: the state of each and why it is so.
import { Text } from "@mantine/core";
import { Router } from "lucide-react";
import { useCall } from "../api/call.ts";
import { DataTable } from "../ui/data-table.tsx";
import { Empty } from "../ui/empty.tsx";
import { TextLink } from "../ui/link.tsx";
import { Panel } from "../ui/panel.tsx";
import { StatusBadge } from "../ui/status-badge.tsx";
import { When } from "../ui/when.tsx";
import type { Deployment, EffectiveDeployment } from "./types.ts";
import type { Known } from "./use-executions.ts";
import { type Execution, type Explanation, explain } from "./waiting.ts";

const FAILURES = ["FAILED", "REJECTED", "TIMED_OUT"];

export function DeploymentCores({ known, deployment }: { known: Known; deployment: Deployment }) {
  const rows = known.executions.map((execution, index) => ({ execution, why: known.explanations[index] }));
  // What needs somebody comes first.
  const order = { act: 0, wait: 1, done: 2 };
  rows.sort((a, b) => order[a.why?.kind ?? "wait"] - order[b.why?.kind ?? "wait"]);
  return (
    <Panel title="Cores" flush>
      <DataTable
        label="cores of this deployment"
        rows={rows}
        rowKey={(row) => row.execution.thing}
        source={known}
        loadingRows={3}
        columns={[
          {
            key: "core",
            header: "Core",
            width: 220,
            cell: ({ execution }) => (
              <TextLink to="/core" search={{ name: execution.thing, tab: "deployments" }} fw={550}>
                {execution.thing}
              </TextLink>
            ),
          },
          {
            key: "status",
            header: "Status",
            width: 140,
            cell: ({ execution }) => <StatusBadge state={execution.status} />,
          },
          {
            key: "why",
            header: "Why",
            cell: ({ execution, why }) => <Why execution={execution} why={why} deployment={deployment} />,
          },
          {
            key: "changed",
            header: "Changed",
            width: 140,
            wide: true,
            cell: ({ execution }) => <When at={execution.changedAt ?? execution.queuedAt} />,
          },
        ]}
        empty={
          <Empty icon={Router} title="No core has this deployment">
            The target has no core yet. A core that joins the group gets it by itself.
          </Empty>
        }
      />
    </Panel>
  );
}

/** Executions of a job carry no reason; the core's own list of deployments does, and is asked for failures only. */
function Why(props: { execution: Execution; why: Explanation | undefined; deployment: Deployment }) {
  const { execution, why, deployment } = props;
  const failed = FAILURES.includes(execution.status) && !execution.reason;
  const effective = useCall<{ effectiveDeployments: EffectiveDeployment[] }>(
    "greengrassv2",
    "ListEffectiveDeployments",
    { coreDeviceThingName: execution.thing },
    { enabled: failed },
  );
  const own = effective.data?.effectiveDeployments.find((one) => one.deploymentId === deployment.deploymentId);
  const text =
    failed && own ? explain({ ...execution, reason: own.reason ?? "" }, undefined, deployment, 0).text : why?.text;
  return (
    <Text size="sm" c={why?.kind === "act" ? undefined : "dimmed"} className="breakable">
      {text}
    </Text>
  );
}
