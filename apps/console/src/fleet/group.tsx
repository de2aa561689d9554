// One thing group: its members, and what is deployed to it.
import { ActionIcon, Button, Group, Text, TextInput } from "@mantine/core";
import { useDisclosure } from "@mantine/hooks";
import { Boxes, Rocket, Trash2, X } from "lucide-react";
import { useState } from "react";
import { call, useAction, useCall, usePages } from "../api/call.ts";
import { May, useMay } from "../api/may.tsx";
import { Copyable } from "../ui/code-block.tsx";
import { Confirm } from "../ui/confirm.tsx";
import { DataTable } from "../ui/data-table.tsx";
import { Empty } from "../ui/empty.tsx";
import { ErrorPanel } from "../ui/error-panel.tsx";
import { Facts } from "../ui/facts.tsx";
import { ButtonLink, TextLink, useGo, useParam } from "../ui/link.tsx";
import { Page } from "../ui/page.tsx";
import { Panel } from "../ui/panel.tsx";
import { When } from "../ui/when.tsx";

interface GroupDetail {
  thingGroupName: string;
  thingGroupArn: string;
  thingGroupProperties?: { thingGroupDescription?: string };
  thingGroupMetadata?: { creationDate?: number };
}

const MEMBERS = ["iot", "ListThingsInThingGroup"];

export function GroupPage() {
  const name = useParam("name") ?? "";
  const group = useCall<GroupDetail>("iot", "DescribeThingGroup", { thingGroupName: name });
  const found = group.data;
  return (
    <Page
      title={name}
      parent={{ label: "Thing groups", to: "/groups" }}
      description={found?.thingGroupProperties?.thingGroupDescription}
      actions={
        found && (
          <>
            <Remove name={name} />
            <May action="greengrass:CreateDeployment">
              <ButtonLink
                to="/new-deployment"
                search={{ target: found.thingGroupArn }}
                leftSection={<Rocket size={15} aria-hidden />}
              >
                Deploy to this group
              </ButtonLink>
            </May>
          </>
        )
      }
    >
      {group.error && <ErrorPanel error={group.error} retry={() => void group.refetch()} />}
      {found && (
        <>
          <Panel>
            <Facts
              items={[
                ["ARN", <Copyable key="arn" text={found.thingGroupArn} label="the ARN" />, "wide"],
                ["Made", <When key="made" at={found.thingGroupMetadata?.creationDate} />],
              ]}
            />
          </Panel>
          <Members name={name} />
        </>
      )}
    </Page>
  );
}

function Members({ name }: { name: string }) {
  const mayRemove = useMay("iot:RemoveThingFromThingGroup");
  const members = usePages<{ things: string[] }, string>(
    "iot",
    "ListThingsInThingGroup",
    { thingGroupName: name, maxResults: 250 },
    { items: (output) => output.things },
  );
  const remove = useAction({
    run: (thingName: string) => call("iot", "RemoveThingFromThingGroup", { thingGroupName: name, thingName }),
    done: (_, thing) => `${thing} left the group.`,
    refresh: [MEMBERS],
  });
  return (
    <Panel title="Members" flush>
      <May action="iot:AddThingToThingGroup">
        <AddMember group={name} />
      </May>
      <DataTable
        label="members"
        rows={members.items}
        rowKey={(thing) => thing}
        source={members}
        columns={[
          {
            key: "name",
            header: "Thing",
            cell: (thing) => (
              <TextLink to="/thing" search={{ name: thing }}>
                {thing}
              </TextLink>
            ),
          },
          {
            key: "remove",
            header: "",
            width: 60,
            cell: (thing) =>
              mayRemove ? (
                <ActionIcon
                  variant="subtle"
                  color="gray"
                  aria-label={`Take ${thing} out`}
                  loading={remove.isPending && remove.variables === thing}
                  onClick={() => remove.mutate(thing)}
                >
                  <X size={16} aria-hidden />
                </ActionIcon>
              ) : null,
          },
        ]}
        empty={
          <Empty icon={Boxes} title="The group is empty">
            Add a core to it, and what is deployed to the group starts on the core.
          </Empty>
        }
      />
    </Panel>
  );
}

function AddMember({ group }: { group: string }) {
  const [thing, setThing] = useState("");
  const add = useAction({
    run: (thingName: string) => call("iot", "AddThingToThingGroup", { thingGroupName: group, thingName }),
    done: (_, name) => `${name} is in the group.`,
    refresh: [MEMBERS],
    onDone: () => setThing(""),
    quiet: true,
  });
  return (
    <form
      onSubmit={(event) => {
        event.preventDefault();
        if (thing.trim() !== "") add.mutate(thing.trim());
      }}
    >
      <Group gap="xs" p="sm" align="flex-start">
        <TextInput
          size="xs"
          aria-label="Thing to add"
          placeholder="Name of a thing"
          flex="1 1 12rem"
          maw={320}
          value={thing}
          onChange={(event) => setThing(event.currentTarget.value)}
          error={add.error?.message}
        />
        <Button size="xs" type="submit" variant="default" loading={add.isPending} disabled={thing.trim() === ""}>
          Add
        </Button>
      </Group>
    </form>
  );
}

function Remove({ name }: { name: string }) {
  const [opened, dialog] = useDisclosure(false);
  const allowed = useMay("iot:DeleteThingGroup");
  const go = useGo();
  const remove = useAction({
    run: () => call("iot", "DeleteThingGroup", { thingGroupName: name }),
    done: () => `${name} is deleted.`,
    refresh: [["iot", "ListThingGroups"]],
    onDone: () => go({ to: "/groups" }),
  });
  if (!allowed) return null;
  return (
    <>
      <Button variant="default" leftSection={<Trash2 size={15} aria-hidden />} onClick={dialog.open}>
        Delete
      </Button>
      <Confirm
        opened={opened}
        onClose={dialog.close}
        onConfirm={() => remove.mutate()}
        busy={remove.isPending}
        title="Delete this group?"
        verb="Delete"
        typed={name}
      >
        <Text size="sm">Its things stay. Deployments to the group reach nobody any more.</Text>
      </Confirm>
    </>
  );
}
