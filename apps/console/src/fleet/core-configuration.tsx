// The configuration of a component on a core, each value with who set it.
import { Select, Skeleton, Text } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { Settings2 } from "lucide-react";
import { useState } from "react";
import { call, useCall } from "../api/call.ts";
import { useSession } from "../api/session.ts";
import { DataTable } from "../ui/data-table.tsx";
import { Empty } from "../ui/empty.tsx";
import { TextLink } from "../ui/link.tsx";
import { Panel } from "../ui/panel.tsx";
import { type Layer, trace, type Value } from "./provenance.ts";
import { recipeDefaults, versionArn } from "./recipe.ts";
import type { Deployment, EffectiveDeployment, InstalledComponent } from "./types.ts";

export function CoreConfiguration({ core }: { core: string }) {
  const installed = useCall<{ installedComponents: InstalledComponent[] }>("greengrassv2", "ListInstalledComponents", {
    coreDeviceThingName: core,
    topologyFilter: "ALL",
  });
  const [chosen, setChosen] = useState<string | null>(null);
  const names = installed.data?.installedComponents.map((one) => one.componentName) ?? [];
  const roots = installed.data?.installedComponents.filter((one) => one.isRoot) ?? [];
  const name = chosen ?? roots[0]?.componentName ?? names[0];
  const component = installed.data?.installedComponents.find((one) => one.componentName === name);

  if (installed.isPending) return <Skeleton h={180} />;
  if (component === undefined) {
    return (
      <Panel>
        <Empty icon={Settings2} title="No component, no configuration">
          Values appear when a component is deployed to this core.
        </Empty>
      </Panel>
    );
  }
  return (
    <Panel
      title="Configuration"
      flush
      aside={
        <Select
          size="xs"
          aria-label="Component"
          w={260}
          data={names}
          value={component.componentName}
          onChange={setChosen}
          allowDeselect={false}
          searchable
        />
      }
    >
      <Values core={core} component={component} />
    </Panel>
  );
}

function Values({ core, component }: { core: string; component: InstalledComponent }) {
  const session = useSession();
  const values = useQuery({
    queryKey: ["greengrassv2", "configuration", core, component.componentName, component.componentVersion],
    queryFn: async ({ signal }) => {
      const arn = versionArn(session, component.componentName, component.componentVersion);
      const defaults = await recipeDefaults(arn, signal);
      const label = defaults.known ? `Recipe ${component.componentVersion}` : "Recipe (not in this account)";
      return trace(defaults.value, label, await layers(core, component.componentName, signal));
    },
  });
  return (
    <DataTable<Value>
      label="configuration values"
      rows={values.data ?? []}
      rowKey={(value) => value.path.join("/")}
      source={values}
      columns={[
        {
          key: "path",
          header: "Value",
          cell: (value) => (
            <Text size="xs" ff="monospace" className="breakable">
              {value.path.join(" › ")}
            </Text>
          ),
        },
        {
          key: "value",
          header: "Is",
          cell: (value) => (
            <Text size="xs" ff="monospace" className="breakable">
              {JSON.stringify(value.value)}
            </Text>
          ),
        },
        {
          key: "from",
          header: "Set by",
          width: 200,
          cell: ({ from }) =>
            from.deploymentId ? (
              <TextLink to="/deployment" search={{ id: from.deploymentId }}>
                {from.label}
              </TextLink>
            ) : (
              <Text size="sm" c="dimmed">
                {from.label}
              </Text>
            ),
        },
      ]}
      empty={
        <Empty icon={Settings2} title="This component has no configuration">
          Neither its recipe nor a deployment sets a value. Changes made on the core itself are seen there only:{" "}
          <code>marram-core config explain {component.componentName}</code>
        </Empty>
      }
    />
  );
}

/** The successful deployments of a core that configure the component, oldest first. */
async function layers(core: string, component: string, signal: AbortSignal): Promise<Layer[]> {
  const { effectiveDeployments } = await call<{ effectiveDeployments: EffectiveDeployment[] }>(
    "greengrassv2",
    "ListEffectiveDeployments",
    { coreDeviceThingName: core },
    signal,
  );
  const done = effectiveDeployments
    .filter((one) => one.coreDeviceExecutionStatus === "SUCCEEDED")
    .sort((a, b) => a.modifiedTimestamp - b.modifiedTimestamp);
  const all = await Promise.all(
    done.map((one) => call<Deployment>("greengrassv2", "GetDeployment", { deploymentId: one.deploymentId }, signal)),
  );
  return all.flatMap((one) => {
    const update = one.components?.[component]?.configurationUpdate;
    return update ? [{ label: one.deploymentName || one.deploymentId, deploymentId: one.deploymentId, update }] : [];
  });
}
