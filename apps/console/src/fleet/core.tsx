// One core: its state, what runs on it, what was deployed to it, its configuration and its client devices.
import { Group } from "@mantine/core";
import { call, useCall } from "../api/call.ts";
import { useMay } from "../api/may.tsx";
import { ErrorPanel } from "../ui/error-panel.tsx";
import { Facts } from "../ui/facts.tsx";
import { ButtonLink, TextLink, useGo, useParam } from "../ui/link.tsx";
import { Page } from "../ui/page.tsx";
import { Panel } from "../ui/panel.tsx";
import { PageTabs } from "../ui/tabs.tsx";
import { When } from "../ui/when.tsx";
import { ClientDevices } from "./client-devices.tsx";
import { CoreConfiguration } from "./core-configuration.tsx";
import { CoreDeployments } from "./core-deployments.tsx";
import { CoreStatus } from "./cores.tsx";
import { Installed } from "./installed.tsx";
import { Removal } from "./removal.tsx";
import type { Core, GroupRef } from "./types.ts";

const REFRESH_MILLIS = 10_000;

export function CorePage() {
  const name = useParam("name") ?? "";
  const core = useCall<Core>(
    "greengrassv2",
    "GetCoreDevice",
    { coreDeviceThingName: name },
    { refresh: REFRESH_MILLIS },
  );
  const groups = useCall<{ thingGroups: GroupRef[] }>("iot", "ListThingGroupsForThing", { thingName: name });
  const mayReadLogs = useMay("logs:FilterLogEvents");
  const mayReadThing = useMay("iot:DescribeThing");
  return (
    <Page
      title={name}
      parent={{ label: "Cores", to: "/cores" }}
      aside={core.data && <CoreStatus core={core.data} />}
      actions={
        <>
          {mayReadThing && (
            <ButtonLink to="/thing" search={{ name }} variant="default">
              Thing and shadows
            </ButtonLink>
          )}
          {mayReadLogs && (
            <ButtonLink to="/logs" search={{ core: name }} variant="default">
              Logs
            </ButtonLink>
          )}
          {core.data && <Forget name={name} />}
        </>
      }
    >
      {core.error && <ErrorPanel error={core.error} retry={() => void core.refetch()} />}
      {core.data && (
        <>
          <Panel>
            <Facts
              items={[
                ["Last report", <When key="seen" at={core.data.lastStatusUpdateTimestamp} />],
                ["Runtime", [core.data.runtime, core.data.coreVersion].filter(Boolean).join(" ")],
                ["Platform", [core.data.platform, core.data.architecture].filter(Boolean).join(" / ")],
                [
                  "Groups",
                  groups.data?.thingGroups.length ? (
                    <Group key="groups" gap={6}>
                      {groups.data.thingGroups.map((group) => (
                        <TextLink key={group.groupName} to="/group" search={{ name: group.groupName }}>
                          {group.groupName}
                        </TextLink>
                      ))}
                    </Group>
                  ) : (
                    "None"
                  ),
                ],
              ]}
            />
          </Panel>
          <PageTabs
            tabs={[
              { id: "components", label: "Components", render: () => <Installed core={name} /> },
              { id: "deployments", label: "Deployments", render: () => <CoreDeployments core={name} /> },
              { id: "configuration", label: "Configuration", render: () => <CoreConfiguration core={name} /> },
              { id: "clients", label: "Client devices", render: () => <ClientDevices core={name} /> },
            ]}
          />
        </>
      )}
    </Page>
  );
}

function Forget({ name }: { name: string }) {
  const go = useGo();
  return (
    <Removal
      action="greengrass:DeleteCoreDevice"
      run={() => call("greengrassv2", "DeleteCoreDevice", { coreDeviceThingName: name })}
      done={`${name} is forgotten.`}
      refresh={[["greengrassv2"]]}
      onDone={() => go({ to: "/cores" })}
      verb="Forget"
      title="Forget this core?"
      typed={name}
      color="red"
    >
      What it reported is removed. Its thing and certificate stay, so it appears again when it reports. To lock it out,
      deactivate its certificate.
    </Removal>
  );
}
