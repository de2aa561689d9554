// All systems of the account: what devices and flows belong together.
import { Badge, Button, Group, Modal, Skeleton, Stack, TextInput } from "@mantine/core";
import { Network, Plus } from "lucide-react";
import { useState } from "react";
import { useMay } from "../api/may.tsx";
import { useSession } from "../api/session.ts";
import { makeUrn, privateNamespace, toName, urnKey, urnName } from "../models/urn.ts";
import { DataTable } from "../ui/data-table.tsx";
import { Empty } from "../ui/empty.tsx";
import { ErrorPanel } from "../ui/error-panel.tsx";
import { TextLink, useGo } from "../ui/link.tsx";
import { Page } from "../ui/page.tsx";
import { Panel } from "../ui/panel.tsx";
import { When } from "../ui/when.tsx";
import { useSystems } from "./api.ts";

export function SystemsPage() {
  const systems = useSystems();
  const mayCreate = useMay("iotthingsgraph:CreateSystemTemplate");
  const [naming, setNaming] = useState(false);
  const start = mayCreate ? (
    <Button leftSection={<Plus size={15} aria-hidden />} onClick={() => setNaming(true)}>
      New system
    </Button>
  ) : undefined;
  return (
    <Page
      title="Systems"
      description="A system names the devices of a place and the flows that run there. It can be deployed many times, each time with other things."
      actions={start}
    >
      {systems.isError && <ErrorPanel error={systems.error} retry={() => void systems.refetch()} />}
      {systems.isPending && <Skeleton h={160} />}
      {systems.isSuccess && systems.items.length === 0 && (
        <Empty icon={Network} title="No systems yet" action={start}>
          Deploying a flow makes one by itself. Draw one when several flows share devices, or when a sensor only starts
          something.
        </Empty>
      )}
      {systems.items.length > 0 && (
        <Panel flush>
          <DataTable
            label="systems"
            rows={systems.items}
            rowKey={(one) => one.id}
            source={systems}
            empty={null}
            columns={[
              {
                key: "name",
                header: "System",
                cell: (one) => (
                  <TextLink to="/systems/design" search={{ system: one.id }} fw={600}>
                    {urnName(one.id)}
                  </TextLink>
                ),
              },
              {
                key: "revision",
                header: "Revision",
                width: 110,
                cell: (one) => <Badge color="gray">{one.revisionNumber}</Badge>,
              },
              { key: "created", header: "Created", width: 170, cell: (one) => <When at={one.createdAt} /> },
            ]}
          />
        </Panel>
      )}
      <NewSystem opened={naming} onClose={() => setNaming(false)} taken={systems.items.map((one) => one.id)} />
    </Page>
  );
}

function NewSystem(props: { opened: boolean; onClose: () => void; taken: readonly string[] }) {
  const session = useSession();
  const go = useGo();
  const [typed, setTyped] = useState("");
  const name = toName(typed);
  const urn = makeUrn(privateNamespace(session.region, session.account), "System", name);
  const isTaken = props.taken.some((other) => urnKey(other) === urnKey(urn));
  const start = () => {
    if (name === "" || isTaken) return;
    props.onClose();
    go({ to: "/systems/design", search: { system: urn, draft: "new" } });
  };
  return (
    <Modal
      opened={props.opened}
      onClose={props.onClose}
      title="New system"
      closeButtonProps={{ "aria-label": "Close" }}
    >
      <form
        onSubmit={(event) => {
          event.preventDefault();
          start();
        }}
      >
        <Stack gap="md">
          <TextInput
            label="Name"
            placeholder="Ground floor"
            data-autofocus
            value={typed}
            onChange={(event) => setTyped(event.currentTarget.value)}
            description={name === "" ? "Letters and digits" : urn}
            error={isTaken ? "A system of this name exists." : undefined}
          />
          <Group justify="flex-end">
            <Button variant="default" onClick={props.onClose}>
              Cancel
            </Button>
            <Button type="submit" disabled={name === "" || isTaken}>
              Draw it
            </Button>
          </Group>
        </Stack>
      </form>
    </Modal>
  );
}
