// What runs on a core.
import { Switch, Text } from "@mantine/core";
import { Package } from "lucide-react";
import { useState } from "react";
import { usePages } from "../api/call.ts";
import { DataTable } from "../ui/data-table.tsx";
import { Empty } from "../ui/empty.tsx";
import { TextLink } from "../ui/link.tsx";
import { Panel } from "../ui/panel.tsx";
import { StatusBadge } from "../ui/status-badge.tsx";
import { When } from "../ui/when.tsx";
import type { InstalledComponent } from "./types.ts";

const REFRESH_MILLIS = 10_000;

export function Installed({ core }: { core: string }) {
  const [all, setAll] = useState(false);
  const installed = usePages<{ installedComponents: InstalledComponent[] }, InstalledComponent>(
    "greengrassv2",
    "ListInstalledComponents",
    { coreDeviceThingName: core, topologyFilter: all ? "ALL" : "ROOT" },
    { items: (output) => output.installedComponents },
    { refresh: REFRESH_MILLIS },
  );
  return (
    <Panel
      title="Components"
      flush
      aside={
        <Switch
          size="xs"
          label="With dependencies"
          checked={all}
          onChange={(event) => setAll(event.currentTarget.checked)}
        />
      }
    >
      <DataTable
        label="installed components"
        rows={installed.items}
        rowKey={(one) => one.componentName}
        source={installed}
        columns={[
          {
            key: "name",
            header: "Component",
            cell: (one) => (
              <>
                <Text size="sm" fw={550} className="breakable">
                  {one.componentName}
                </Text>
                {one.lifecycleStateDetails && (
                  <Text size="xs" c="dimmed">
                    {one.lifecycleStateDetails}
                  </Text>
                )}
              </>
            ),
          },
          { key: "version", header: "Version", width: 110, cell: (one) => one.componentVersion },
          { key: "state", header: "State", width: 130, cell: (one) => <StatusBadge state={one.lifecycleState} /> },
          {
            key: "since",
            header: "Since",
            width: 150,
            wide: true,
            cell: (one) => <When at={one.lastStatusChangeTimestamp} />,
          },
          {
            key: "logs",
            header: "Logs",
            width: 80,
            wide: true,
            cell: (one) => (
              <TextLink to="/logs" search={{ core, component: one.componentName }}>
                Read
              </TextLink>
            ),
          },
        ]}
        empty={
          <Empty icon={Package} title="No component runs here">
            {all ? "The core has not reported any." : "Deploy one to this core or to a group it is in."}
          </Empty>
        }
      />
    </Panel>
  );
}
