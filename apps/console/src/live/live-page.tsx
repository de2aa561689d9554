// Everything that is deployed: how it stands, and what can be done with it.
import { ActionIcon, Group, Menu, Skeleton, Stack, Table, Text } from "@mantine/core";
import { Ellipsis, Radio } from "lucide-react";
import { useEffect, useState } from "react";
import { type DeploymentSummary, useDeployments } from "../designer/api.ts";
import { urnName } from "../models/urn.ts";
import { Empty } from "../ui/empty.tsx";
import { ErrorPanel } from "../ui/error-panel.tsx";
import { ButtonLink, TextLink, useGo, useParam } from "../ui/link.tsx";
import { Page } from "../ui/page.tsx";
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
        <Table verticalSpacing="xs" highlightOnHover>
          <Table.Thead>
            <Table.Tr>
              <Table.Th>Deployment</Table.Th>
              <Table.Th>Status</Table.Th>
              <Table.Th>Where</Table.Th>
              <Table.Th>Changed</Table.Th>
              <Table.Th aria-label="Actions" />
            </Table.Tr>
          </Table.Thead>
          <Table.Tbody>
            {deployments.items.map((one) => (
              <Row key={one.id} deployment={one} />
            ))}
          </Table.Tbody>
        </Table>
      )}
    </Page>
  );
}

function Row({ deployment }: { deployment: DeploymentSummary }) {
  const [act, setAct] = useState<Act | null>(null);
  return (
    <Table.Tr>
      <Table.Td>
        <Stack gap={0}>
          <TextLink to="/live/watch" search={{ id: deployment.id }} fw={600}>
            {urnName(deployment.id)}
          </TextLink>
        </Stack>
      </Table.Td>
      <Table.Td>
        <DeploymentState status={deployment.status} />
      </Table.Td>
      <Table.Td>
        {deployment.target === "CLOUD" ? "control plane" : (deployment.greengrassGroupName ?? "gateway")}
      </Table.Td>
      <Table.Td>
        <When at={deployment.updatedAt} />
      </Table.Td>
      <Table.Td>
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
      </Table.Td>
    </Table.Tr>
  );
}
