// All flows of the account: open, deploy, take out of use.
import { ActionIcon, Badge, Button, Group, Menu, Modal, Skeleton, Stack, Table, Text, TextInput } from "@mantine/core";
import { Ellipsis, Plus, Rocket, Workflow } from "lucide-react";
import { useState } from "react";
import { call, useAction } from "../api/call.ts";
import { useMay } from "../api/may.tsx";
import { urnName } from "../models/urn.ts";
import { Empty } from "../ui/empty.tsx";
import { ErrorPanel } from "../ui/error-panel.tsx";
import { ButtonLink, TextLink } from "../ui/link.tsx";
import { Page } from "../ui/page.tsx";
import { GRAPH, TEMPLATE_KEYS, type TemplateSummary, useFlows } from "./api.ts";
import { NewFlow } from "./new-flow.tsx";

export function FlowsPage() {
  const flows = useFlows();
  const mayCreate = useMay("iotthingsgraph:CreateFlowTemplate");
  const [naming, setNaming] = useState(false);
  const [query, setQuery] = useState("");
  const found = flows.items.filter((flow) => urnName(flow.id).toLowerCase().includes(query.trim().toLowerCase()));
  const start = mayCreate ? (
    <Button leftSection={<Plus size={15} aria-hidden />} onClick={() => setNaming(true)}>
      New flow
    </Button>
  ) : undefined;
  return (
    <Page
      title="Flows"
      description="A flow wires devices and services together: when this happens, do that, and if it fails, do this instead."
      actions={start}
    >
      {flows.isError && <ErrorPanel error={flows.error} retry={() => void flows.refetch()} />}
      {flows.isPending && <Skeleton h={180} />}
      {flows.isSuccess && flows.items.length === 0 && (
        <Empty icon={Workflow} title="No flows yet" action={start}>
          Draw the first one: choose devices from the library, connect them, try it in the simulator, and deploy it to
          the cloud or to a gateway.
        </Empty>
      )}
      {flows.items.length > 0 && (
        <>
          <TextInput
            maw={320}
            aria-label="Find a flow"
            placeholder="Find a flow"
            value={query}
            onChange={(event) => setQuery(event.currentTarget.value)}
          />
          <Table verticalSpacing="xs" highlightOnHover>
            <Table.Thead>
              <Table.Tr>
                <Table.Th>Name</Table.Th>
                <Table.Th>Revision</Table.Th>
                <Table.Th>Created</Table.Th>
                <Table.Th aria-label="Actions" />
              </Table.Tr>
            </Table.Thead>
            <Table.Tbody>
              {found.map((flow) => (
                <Row key={flow.id} flow={flow} />
              ))}
            </Table.Tbody>
          </Table>
          {found.length === 0 && (
            <Text size="sm" c="dimmed">
              No flow is called that.
            </Text>
          )}
          {flows.hasNextPage && (
            <Button
              variant="default"
              size="xs"
              loading={flows.isFetchingNextPage}
              onClick={() => void flows.fetchNextPage()}
            >
              Show more
            </Button>
          )}
        </>
      )}
      <NewFlow opened={naming} onClose={() => setNaming(false)} taken={flows.items.map((flow) => flow.id)} />
    </Page>
  );
}

function Row({ flow }: { flow: TemplateSummary }) {
  const [asking, setAsking] = useState<"deprecate" | "delete" | null>(null);
  const retire = useAction<"Deprecate" | "Delete">({
    run: (what) => call(GRAPH, `${what}FlowTemplate`, { id: flow.id }),
    done: (_, what) => (what === "Delete" ? "The flow is deleted" : "The flow takes no new deployments"),
    refresh: TEMPLATE_KEYS,
    onDone: () => setAsking(null),
  });
  return (
    <Table.Tr>
      <Table.Td>
        <TextLink to="/flows/design" search={{ flow: flow.id }} fw={600}>
          {urnName(flow.id)}
        </TextLink>
        <Text size="xs" c="dimmed" className="breakable">
          {flow.id}
        </Text>
      </Table.Td>
      <Table.Td className="tabular">
        <Badge color="gray">{flow.revisionNumber}</Badge>
      </Table.Td>
      <Table.Td className="tabular">{new Date(flow.createdAt * 1000).toLocaleString()}</Table.Td>
      <Table.Td>
        <Group gap={6} justify="flex-end" wrap="nowrap">
          <ButtonLink
            to="/flows/deploy"
            search={{ flow: flow.id }}
            size="xs"
            variant="default"
            leftSection={<Rocket size={14} aria-hidden />}
          >
            Deploy
          </ButtonLink>
          <Menu position="bottom-end">
            <Menu.Target>
              <ActionIcon variant="subtle" color="gray" aria-label={`More for ${urnName(flow.id)}`}>
                <Ellipsis size={16} aria-hidden />
              </ActionIcon>
            </Menu.Target>
            <Menu.Dropdown>
              <Menu.Item onClick={() => setAsking("deprecate")}>Take out of use…</Menu.Item>
              <Menu.Item color="red" onClick={() => setAsking("delete")}>
                Delete…
              </Menu.Item>
            </Menu.Dropdown>
          </Menu>
        </Group>
        <Modal
          opened={asking !== null}
          onClose={() => setAsking(null)}
          title={asking === "delete" ? `Delete “${urnName(flow.id)}”?` : `Take “${urnName(flow.id)}” out of use?`}
        >
          <Stack gap="md">
            <Text size="sm">
              {asking === "delete"
                ? "Its text and all revisions go. Running deployments keep what they were deployed with. A flow must be out of use before it can be deleted."
                : "It takes no new deployments and no new revisions. Running deployments go on. This cannot be undone."}
            </Text>
            <Group justify="flex-end">
              <Button variant="default" onClick={() => setAsking(null)}>
                Cancel
              </Button>
              <Button
                color="red"
                loading={retire.isPending}
                onClick={() => retire.mutate(asking === "delete" ? "Delete" : "Deprecate")}
              >
                {asking === "delete" ? "Delete" : "Take out of use"}
              </Button>
            </Group>
          </Stack>
        </Modal>
      </Table.Td>
    </Table.Tr>
  );
}
