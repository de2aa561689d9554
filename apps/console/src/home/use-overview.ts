// What the home page knows: cores, deployments, components, flow deployments; refreshed while it is open.
import { useCall } from "../api/call.ts";
import { type ComponentSummary, type CoreSummary, type DeploymentSummary, isSilent } from "../fleet/types.ts";

const REFRESH_MILLIS = 10_000;

export interface FlowDeployment {
  id?: string;
  arn?: string;
  status?: string;
  target?: string;
}

export interface Overview {
  /** Undefined until it is known, or when it may not be read. */
  cores:
    | { all: CoreSummary[]; more: boolean; healthy: number; unhealthy: CoreSummary[]; silent: CoreSummary[] }
    | undefined;
  deployments: { all: DeploymentSummary[]; more: boolean; active: number; failed: DeploymentSummary[] } | undefined;
  components: { all: ComponentSummary[]; more: boolean } | undefined;
  flows: { all: FlowDeployment[]; more: boolean; running: number; failed: FlowDeployment[] } | undefined;
  failed: unknown;
}

export type May = { cores: boolean; deployments: boolean; components: boolean; flows: boolean };

export function useOverview(may: May): Overview {
  const options = (enabled: boolean) => ({ enabled, refresh: REFRESH_MILLIS });
  const cores = useCall<{ coreDevices: CoreSummary[]; nextToken?: string }>(
    "greengrassv2",
    "ListCoreDevices",
    {},
    options(may.cores),
  );
  const deployments = useCall<{ deployments: DeploymentSummary[]; nextToken?: string }>(
    "greengrassv2",
    "ListDeployments",
    { historyFilter: "LATEST_ONLY" },
    options(may.deployments),
  );
  const components = useCall<{ components: ComponentSummary[]; nextToken?: string }>(
    "greengrassv2",
    "ListComponents",
    { scope: "PRIVATE" },
    options(may.components),
  );
  const flows = useCall<{ summaries?: FlowDeployment[]; nextToken?: string }>(
    "iotthingsgraph",
    "SearchSystemInstances",
    {},
    options(may.flows),
  );
  const now = Date.now() / 1000;
  const allCores = cores.data?.coreDevices;
  const allFlows = flows.data && (flows.data.summaries ?? []);
  return {
    cores: allCores && {
      all: allCores,
      more: cores.data?.nextToken !== undefined,
      healthy: allCores.filter((one) => one.status === "HEALTHY" && !isSilent(one, now)).length,
      unhealthy: allCores.filter((one) => one.status === "UNHEALTHY"),
      silent: allCores.filter((one) => isSilent(one, now)),
    },
    deployments: deployments.data && {
      all: deployments.data.deployments,
      more: deployments.data.nextToken !== undefined,
      active: deployments.data.deployments.filter((one) => one.deploymentStatus === "ACTIVE").length,
      failed: deployments.data.deployments.filter((one) => one.deploymentStatus === "FAILED"),
    },
    components: components.data && { all: components.data.components, more: components.data.nextToken !== undefined },
    flows: allFlows && {
      all: allFlows,
      more: flows.data?.nextToken !== undefined,
      running: allFlows.filter((one) => one.status === "DEPLOYED_IN_TARGET").length,
      failed: allFlows.filter((one) => one.status === "FAILED"),
    },
    failed: cores.error ?? deployments.error ?? components.error ?? flows.error,
  };
}
