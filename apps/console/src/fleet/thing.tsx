// One thing: what the registry knows, its groups and certificates, its shadows.
import { Group, Skeleton } from "@mantine/core";
import { call, useCall } from "../api/call.ts";
import { useMay } from "../api/may.tsx";
import { Shadows } from "../messages/shadows.tsx";
import { Copyable } from "../ui/code-block.tsx";
import { ErrorPanel } from "../ui/error-panel.tsx";
import { Facts } from "../ui/facts.tsx";
import { arnName } from "../ui/format.ts";
import { ButtonLink, TextLink, useGo, useParam } from "../ui/link.tsx";
import { Page } from "../ui/page.tsx";
import { Panel } from "../ui/panel.tsx";
import { PageTabs } from "../ui/tabs.tsx";
import { Removal } from "./removal.tsx";
import { ThingAttributes } from "./thing-attributes.tsx";
import type { GroupRef, Thing } from "./types.ts";

export function ThingPage() {
  const name = useParam("name") ?? "";
  const thing = useCall<Thing>("iot", "DescribeThing", { thingName: name });
  const mayShadow = useMay("iot:GetThingShadow");
  const mayAsk = useMay("iam:SimulatePrincipalPolicy");
  return (
    <Page
      title={name}
      parent={{ label: "Things", to: "/things" }}
      actions={
        thing.data && (
          <>
            {mayAsk && (
              <ButtonLink to="/access" search={{ principal: thing.data.thingArn }} variant="default">
                What it may do
              </ButtonLink>
            )}
            <Remove name={name} />
          </>
        )
      }
    >
      {thing.error && <ErrorPanel error={thing.error} retry={() => void thing.refetch()} />}
      {thing.isPending && <Skeleton h={200} />}
      {thing.data && (
        <PageTabs
          tabs={[
            { id: "about", label: "About", render: () => <About thing={thing.data} /> },
            ...(mayShadow ? [{ id: "shadows", label: "Shadows", render: () => <Shadows thing={name} /> }] : []),
          ]}
        />
      )}
    </Page>
  );
}

function About({ thing }: { thing: Thing }) {
  const groups = useCall<{ thingGroups: GroupRef[] }>("iot", "ListThingGroupsForThing", { thingName: thing.thingName });
  const principals = useCall<{ principals: string[] }>("iot", "ListThingPrincipals", { thingName: thing.thingName });
  return (
    <div style={{ display: "grid", gap: "1.25rem" }}>
      <Panel title="Registry">
        <Facts
          items={[
            ["ARN", <Copyable key="arn" text={thing.thingArn} label="the ARN" />, "wide"],
            ["Type", thing.thingTypeName],
            ["Version", thing.version],
            [
              "Groups",
              <Group key="groups" gap={8}>
                {groups.data?.thingGroups.map((group) => (
                  <TextLink key={group.groupName} to="/group" search={{ name: group.groupName }}>
                    {group.groupName}
                  </TextLink>
                ))}
                {groups.data?.thingGroups.length === 0 && "None"}
              </Group>,
            ],
            [
              "Certificates",
              <Group key="certificates" gap={8}>
                {principals.data?.principals.map((arn) => (
                  <TextLink key={arn} to="/certificate" search={{ id: arnName(arn) }} ff="monospace">
                    {arnName(arn).slice(0, 12)}…
                  </TextLink>
                ))}
                {principals.data?.principals.length === 0 && "None: it cannot connect"}
              </Group>,
            ],
          ]}
        />
      </Panel>
      <ThingAttributes thing={thing} />
    </div>
  );
}

function Remove({ name }: { name: string }) {
  const go = useGo();
  return (
    <Removal
      action="iot:DeleteThing"
      run={() => call("iot", "DeleteThing", { thingName: name })}
      done={`${name} is deleted.`}
      refresh={[["iot", "ListThings"]]}
      onDone={() => go({ to: "/things" })}
      verb="Delete"
      title="Delete this thing?"
      typed={name}
    >
      Its attributes, memberships and shadows go with it. Certificates have to be detached first.
    </Removal>
  );
}
