// Deployments as a core carried them out, with what it said about failures.
import { List, Text } from "@mantine/core";
import { Rocket } from "lucide-react";
import { usePages } from "../api/call.ts";
import { DataTable } from "../ui/data-table.tsx";
import { Empty } from "../ui/empty.tsx";
import { arnName } from "../ui/format.ts";
import { TextLink } from "../ui/link.tsx";
import { Panel } from "../ui/panel.tsx";
import { StatusBadge } from "../ui/status-badge.tsx";
import { When } from "../ui/when.tsx";
import type { EffectiveDeployment } from "./types.ts";

const REFRESH_MILLIS = 10_000;

export function CoreDeployments({ core }: { core: string }) {
  const deployments = usePages<{ effectiveDeployments: EffectiveDeployment[] }, EffectiveDeployment>(
    "greengrassv2",
    "ListEffectiveDeployments",
    { coreDeviceThingName: core },
    { items: (output) => output.effectiveDeployments },
    { refresh: REFRESH_MILLIS },
  );
  return (
    <Panel title="Deployments" flush>
      <DataTable
        label="deployments of this core"
        rows={deployments.items}
        rowKey={(one) => one.deploymentId}
        source={deployments}
        columns={[
          {
            key: "name",
            header: "Deployment",
            cell: (one) => (
              <>
                <TextLink to="/deployment" search={{ id: one.deploymentId }} fw={550}>
                  {one.deploymentName || one.deploymentId}
                </TextLink>
                {one.reason && one.coreDeviceExecutionStatus !== "SUCCEEDED" && (
                  <Text size="xs" c="dimmed" className="breakable">
                    {one.reason}
                  </Text>
                )}
                {(one.statusDetails?.errorStack?.length ?? 0) > 0 && (
                  <List size="xs" mt={2} ff="monospace" c="dimmed">
                    {one.statusDetails?.errorStack?.map((code) => (
                      <List.Item key={code}>{code}</List.Item>
                    ))}
                  </List>
                )}
              </>
            ),
          },
          { key: "target", header: "Target", width: 190, wide: true, cell: (one) => arnName(one.targetArn) },
          {
            key: "status",
            header: "Status",
            width: 140,
            cell: (one) => <StatusBadge state={one.coreDeviceExecutionStatus} />,
          },
          {
            key: "when",
            header: "Changed",
            width: 140,
            wide: true,
            cell: (one) => <When at={one.modifiedTimestamp} />,
          },
        ]}
        empty={
          <Empty icon={Rocket} title="Nothing was deployed to this core">
            A deployment to the core itself or to one of its groups appears here.
          </Empty>
        }
      />
    </Panel>
  );
}
