// All core devices: which are well, which are silent.
import { SegmentedControl } from "@mantine/core";
import { Plus, Router } from "lucide-react";
import { usePages } from "../api/call.ts";
import { May } from "../api/may.tsx";
import { DataTable } from "../ui/data-table.tsx";
import { Empty } from "../ui/empty.tsx";
import { ButtonLink, TextLink, useParam, useSetParams } from "../ui/link.tsx";
import { Page } from "../ui/page.tsx";
import { Panel } from "../ui/panel.tsx";
import { StatusBadge } from "../ui/status-badge.tsx";
import { When } from "../ui/when.tsx";
import { type CoreSummary, isSilent } from "./types.ts";

const REFRESH_MILLIS = 10_000;

export function CoresPage() {
  const status = useParam("status") ?? "";
  const setParams = useSetParams();
  const cores = usePages<{ coreDevices: CoreSummary[] }, CoreSummary>(
    "greengrassv2",
    "ListCoreDevices",
    status === "" ? {} : { status },
    { items: (output) => output.coreDevices },
    { refresh: REFRESH_MILLIS },
  );
  return (
    <Page
      title="Cores"
      description="Gateways that run components and flows. A core keeps working without a line and reports when it has one."
      actions={
        <May action="iot:CreateThing">
          <ButtonLink to="/add-core" leftSection={<Plus size={16} aria-hidden />}>
            Add a core
          </ButtonLink>
        </May>
      }
    >
      <Panel
        flush
        aside={
          <SegmentedControl
            size="xs"
            aria-label="Which cores"
            value={status}
            onChange={(value) => setParams({ status: value || undefined })}
            data={[
              { value: "", label: "All" },
              { value: "HEALTHY", label: "Healthy" },
              { value: "UNHEALTHY", label: "Unhealthy" },
            ]}
          />
        }
      >
        <DataTable
          label="cores"
          rows={cores.items}
          rowKey={(core) => core.coreDeviceThingName}
          source={cores}
          columns={[
            {
              key: "name",
              header: "Core",
              cell: (core) => (
                <TextLink to="/core" search={{ name: core.coreDeviceThingName }} fw={550}>
                  {core.coreDeviceThingName}
                </TextLink>
              ),
            },
            { key: "status", header: "Status", width: 150, cell: (core) => <CoreStatus core={core} /> },
            {
              key: "seen",
              header: "Last report",
              width: 150,
              cell: (core) => <When at={core.lastStatusUpdateTimestamp} />,
            },
            {
              key: "platform",
              header: "Platform",
              width: 160,
              wide: true,
              cell: (core) => [core.platform, core.architecture].filter(Boolean).join(" / ") || "–",
            },
            { key: "runtime", header: "Runtime", width: 160, wide: true, cell: (core) => core.runtime || "–" },
          ]}
          empty={
            status === "" ? (
              <Empty
                icon={Router}
                title="No core yet"
                action={
                  <May action="iot:CreateThing">
                    <ButtonLink to="/add-core">Add a core</ButtonLink>
                  </May>
                }
              >
                A core is a gateway that runs marram-core (or Greengrass). Adding one takes a command and a minute.
              </Empty>
            ) : (
              <Empty icon={Router} title="No core is in this state" />
            )
          }
        />
      </Panel>
    </Page>
  );
}

/** Silence outweighs the last thing a core said. */
export function CoreStatus({ core }: { core: CoreSummary }) {
  return isSilent(core, Date.now() / 1000) ? (
    <StatusBadge state="Silent" look="SILENT" />
  ) : (
    <StatusBadge state={core.status} />
  );
}
