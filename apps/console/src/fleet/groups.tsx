// All thing groups: what deployments and jobs are aimed at.
import { Button, Group, Modal, Stack, Textarea, TextInput } from "@mantine/core";
import { useDisclosure } from "@mantine/hooks";
import { Boxes, Plus } from "lucide-react";
import { useState } from "react";
import { call, useAction, usePages } from "../api/call.ts";
import { May } from "../api/may.tsx";
import { CopyText } from "../ui/code-block.tsx";
import { DataTable } from "../ui/data-table.tsx";
import { Empty } from "../ui/empty.tsx";
import { ErrorPanel } from "../ui/error-panel.tsx";
import { TextLink } from "../ui/link.tsx";
import { Page } from "../ui/page.tsx";
import { Panel } from "../ui/panel.tsx";
import type { GroupRef } from "./types.ts";

export function GroupsPage() {
  const groups = usePages<{ thingGroups: GroupRef[] }, GroupRef>(
    "iot",
    "ListThingGroups",
    {},
    { items: (output) => output.thingGroups },
  );
  const add = (
    <May action="iot:CreateThingGroup">
      <NewGroup />
    </May>
  );
  return (
    <Page
      title="Thing groups"
      description="A deployment to a group reaches every core in it, now and later."
      actions={add}
    >
      <Panel flush>
        <DataTable
          label="thing groups"
          rows={groups.items}
          rowKey={(group) => group.groupArn}
          source={groups}
          columns={[
            {
              key: "name",
              header: "Group",
              cell: (group) => (
                <TextLink to="/group" search={{ name: group.groupName }} fw={550}>
                  {group.groupName}
                </TextLink>
              ),
            },
            {
              key: "arn",
              header: "ARN",
              wide: true,
              cell: (group) => (
                <Group gap={4} wrap="nowrap" ff="monospace" fz="xs" c="dimmed">
                  {group.groupArn}
                  <CopyText text={group.groupArn} label={`Copy the ARN of ${group.groupName}`} />
                </Group>
              ),
            },
          ]}
          empty={
            <Empty icon={Boxes} title="No group yet">
              Put the gateways of a site into a group and deploy to all of them at once.
            </Empty>
          }
        />
      </Panel>
    </Page>
  );
}

function NewGroup() {
  const [opened, dialog] = useDisclosure(false);
  const [name, setName] = useState("");
  const [description, setDescription] = useState("");
  const create = useAction({
    run: () =>
      call("iot", "CreateThingGroup", {
        thingGroupName: name.trim(),
        ...(description.trim() !== "" && { thingGroupProperties: { thingGroupDescription: description.trim() } }),
      }),
    done: () => `${name.trim()} is made.`,
    refresh: [["iot", "ListThingGroups"]],
    onDone: () => {
      setName("");
      setDescription("");
      dialog.close();
    },
    quiet: true,
  });
  return (
    <>
      <Button leftSection={<Plus size={16} aria-hidden />} onClick={dialog.open}>
        New group
      </Button>
      <Modal opened={opened} onClose={dialog.close} title="New group" closeButtonProps={{ "aria-label": "Close" }}>
        <form
          onSubmit={(event) => {
            event.preventDefault();
            create.mutate();
          }}
        >
          <Stack>
            {create.error && <ErrorPanel error={create.error} />}
            <TextInput
              label="Name"
              data-autofocus
              autoComplete="off"
              value={name}
              onChange={(event) => setName(event.currentTarget.value)}
            />
            <Textarea
              label="Description"
              value={description}
              onChange={(event) => setDescription(event.currentTarget.value)}
            />
            <Group justify="flex-end">
              <Button type="submit" loading={create.isPending} disabled={name.trim() === ""}>
                Create
              </Button>
            </Group>
          </Stack>
        </form>
      </Modal>
    </>
  );
}
