// One thing group: its members, and what is deployed to it.
import { ActionIcon } from "@mantine/core";
import { Boxes, Rocket, X } from "lucide-react";
import { call, useAction, useCall, usePages } from "../api/call.ts";
import { May, useMay } from "../api/may.tsx";
import { Copyable } from "../ui/code-block.tsx";
import { DataTable } from "../ui/data-table.tsx";
import { Empty } from "../ui/empty.tsx";
import { ErrorPanel } from "../ui/error-panel.tsx";
import { Facts } from "../ui/facts.tsx";
import { ButtonLink, TextLink, useGo, useParam } from "../ui/link.tsx";
import { Page } from "../ui/page.tsx";
import { Panel } from "../ui/panel.tsx";
import { When } from "../ui/when.tsx";
import { NameThing } from "./name-thing.tsx";
import { Removal } from "./removal.tsx";

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
        <NameThing
          label="Thing to add"
          verb="Add"
          run={(thingName) => call("iot", "AddThingToThingGroup", { thingGroupName: name, thingName })}
          done={(thing) => `${thing} is in the group.`}
          refresh={[MEMBERS]}
        />
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

function Remove({ name }: { name: string }) {
  const go = useGo();
  return (
    <Removal
      action="iot:DeleteThingGroup"
      run={() => call("iot", "DeleteThingGroup", { thingGroupName: name })}
      done={`${name} is deleted.`}
      refresh={[["iot", "ListThingGroups"]]}
      onDone={() => go({ to: "/groups" })}
      verb="Delete"
      title="Delete this group?"
      typed={name}
    >
      Its things stay. Deployments to the group reach nobody any more.
    </Removal>
  );
}
