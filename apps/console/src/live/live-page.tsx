// Everything that is deployed: how it stands, and what can be done with it.
import { ActionIcon, Group, Menu, Skeleton, Text } from "@mantine/core";
import { Ellipsis, Radio } from "lucide-react";
import { useEffect, useState } from "react";
import { type DeploymentSummary, useDeployments } from "../designer/api.ts";
import { urnName } from "../models/urn.ts";
import { DataTable } from "../ui/data-table.tsx";
import { Empty } from "../ui/empty.tsx";
import { ErrorPanel } from "../ui/error-panel.tsx";
import { ButtonLink, TextLink, useGo, useParam } from "../ui/link.tsx";
import { Page } from "../ui/page.tsx";
import { Panel } from "../ui/panel.tsx";
import { When } from "../ui/when.tsx";
import { type Act, actsOf, DeploymentAct } from "./deployment-acts.tsx";
import { DeploymentState } from "./deployment-state.tsx";

export function LivePage() {
  const id = useParam("id");
  const go = useGo();
  // Links of other pages name a deployment here; what runs there is shown on its own page.
  useEffect(() => {
    if (id) go({ to: "/live/watch", search: { id } });
  }, [id, go]);
  const deployments = useDeployments();
  return (
    <Page
      title="Live"
      description="Deployed flows, in the control plane and on gateways. Open one to watch its executions on the drawing."
    >
      {deployments.isError && <ErrorPanel error={deployments.error} retry={() => void deployments.refetch()} />}
      {deployments.isPending && <Skeleton h={160} />}
      {deployments.isSuccess && deployments.items.length === 0 && (
        <Empty icon={Radio} title="Nothing is deployed yet" action={<ButtonLink to="/flows">Choose a flow</ButtonLink>}>
          Deploy a flow: it is bound to things, starts by itself, and every step it runs can be watched here.
        </Empty>
      )}
      {deployments.items.length > 0 && (
        <Panel flush>
          <DataTable
            label="deployed flows"
            rows={deployments.items}
            rowKey={(one) => one.id}
            source={deployments}
            empty={null}
            columns={[
              {
                key: "name",
                header: "Deployment",
                cell: (one) => (
                  <TextLink to="/live/watch" search={{ id: one.id }} fw={600}>
                    {urnName(one.id)}
                  </TextLink>
                ),
              },
              { key: "status", header: "Status", width: 190, cell: (one) => <DeploymentState status={one.status} /> },
              {
                key: "where",
                header: "Where",
                width: 180,
                wide: true,
                cell: (one) => (one.target === "CLOUD" ? "control plane" : (one.greengrassGroupName ?? "gateway")),
              },
              { key: "changed", header: "Changed", width: 150, cell: (one) => <When at={one.updatedAt} /> },
              { key: "acts", header: "", width: 140, cell: (one) => <Acts deployment={one} /> },
            ]}
          />
        </Panel>
      )}
    </Page>
  );
}

function Acts({ deployment }: { deployment: DeploymentSummary }) {
  const [act, setAct] = useState<Act | null>(null);
  return (
    <>
      <Group gap={6} justify="flex-end" wrap="nowrap">
        <ButtonLink to="/live/watch" search={{ id: deployment.id }} size="xs" variant="default">
          Watch
        </ButtonLink>
        <Menu position="bottom-end">
          <Menu.Target>
            <ActionIcon variant="subtle" color="gray" aria-label={`More for ${urnName(deployment.id)}`}>
              <Ellipsis size={16} aria-hidden />
            </ActionIcon>
          </Menu.Target>
          <Menu.Dropdown>
            {actsOf(deployment.status).map((one) => (
              <Menu.Item
                key={one.act}
                {...(one.act === "deploy" ? {} : { color: "red" })}
                onClick={() => setAct(one.act)}
              >
                {one.label}
              </Menu.Item>
            ))}
            {actsOf(deployment.status).length === 0 && (
              <Menu.Label>
                <Text size="xs">Wait until it is settled</Text>
              </Menu.Label>
            )}
          </Menu.Dropdown>
        </Menu>
      </Group>
      {act && <DeploymentAct deployment={deployment} act={act} onClose={() => setAct(null)} />}
    </>
  );
}
