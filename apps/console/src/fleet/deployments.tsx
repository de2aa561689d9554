// All deployments: what each target should run, and how far it is.
import { SegmentedControl } from "@mantine/core";
import { Plus, Rocket } from "lucide-react";
import { usePages } from "../api/call.ts";
import { May } from "../api/may.tsx";
import { DataTable } from "../ui/data-table.tsx";
import { Empty } from "../ui/empty.tsx";
import { arnName } from "../ui/format.ts";
import { ButtonLink, TextLink, useParam, useSetParams } from "../ui/link.tsx";
import { Page } from "../ui/page.tsx";
import { Panel } from "../ui/panel.tsx";
import { StatusBadge } from "../ui/status-badge.tsx";
import { When } from "../ui/when.tsx";
import { TargetLink } from "./target-link.tsx";
import type { DeploymentSummary } from "./types.ts";

const REFRESH_MILLIS = 10_000;

export function DeploymentsPage() {
  const all = useParam("history") === "all";
  const setParams = useSetParams();
  const deployments = usePages<{ deployments: DeploymentSummary[] }, DeploymentSummary>(
    "greengrassv2",
    "ListDeployments",
    { historyFilter: all ? "ALL" : "LATEST_ONLY" },
    { items: (output) => output.deployments },
    { refresh: REFRESH_MILLIS },
  );
  const add = (
    <May action="greengrass:CreateDeployment">
      <ButtonLink to="/new-deployment" leftSection={<Plus size={16} aria-hidden />}>
        New deployment
      </ButtonLink>
    </May>
  );
  return (
    <Page
      title="Deployments"
      description="What a core or a group of cores shall run. The latest one for a target counts."
      actions={add}
    >
      <Panel
        flush
        aside={
          <SegmentedControl
            size="xs"
            aria-label="Which deployments"
            value={all ? "all" : "latest"}
            onChange={(value) => setParams({ history: value === "all" ? "all" : undefined })}
            data={[
              { value: "latest", label: "Latest of each target" },
              { value: "all", label: "All" },
            ]}
          />
        }
      >
        <DataTable
          label="deployments"
          rows={deployments.items}
          rowKey={(one) => one.deploymentId}
          source={deployments}
          columns={[
            {
              key: "name",
              header: "Deployment",
              cell: (one) => (
                <TextLink to="/deployment" search={{ id: one.deploymentId }} fw={550}>
                  {one.deploymentName || `To ${arnName(one.targetArn)}`}
                </TextLink>
              ),
            },
            { key: "target", header: "Target", wide: true, cell: (one) => <TargetLink arn={one.targetArn} /> },
            {
              key: "revision",
              header: "Revision",
              width: 90,
              wide: true,
              numeric: true,
              cell: (one) => one.revisionId,
            },
            {
              key: "status",
              header: "Status",
              width: 140,
              cell: (one) => <StatusBadge state={one.deploymentStatus} />,
            },
            { key: "when", header: "Made", width: 140, cell: (one) => <When at={one.creationTimestamp} /> },
          ]}
          empty={
            <Empty icon={Rocket} title="Nothing is deployed" action={add}>
              A deployment says which components, in which versions and with which configuration, a core or a group
              runs.
            </Empty>
          }
        />
      </Panel>
    </Page>
  );
}
