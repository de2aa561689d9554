// How far a deployment is on each core: job executions of a group, the core's own list for a single one.
import { useCall, usePages } from "../api/call.ts";
import { arnKind, arnName } from "../ui/format.ts";
import type { CoreSummary, Deployment, EffectiveDeployment, JobExecutionSummary } from "./types.ts";
import { type Execution, type Explanation, explain } from "./waiting.ts";

const REFRESH_MILLIS = 5_000;

export interface Known {
  executions: Execution[];
  explanations: Explanation[];
  isPending: boolean;
  error: unknown;
  refetch: () => void;
  hasNextPage: boolean;
  isFetchingNextPage: boolean;
  fetchNextPage: () => void;
}

export function useExecutions(deployment: Deployment): Known {
  const single = arnKind(deployment.targetArn) === "thing" ? arnName(deployment.targetArn) : undefined;
  const jobs = usePages<{ executionSummaries: JobExecutionSummary[] }, JobExecutionSummary>(
    "iot",
    "ListJobExecutionsForJob",
    { jobId: deployment.iotJobId ?? "" },
    { items: (output) => output.executionSummaries },
    { enabled: single === undefined && deployment.iotJobId !== undefined, refresh: REFRESH_MILLIS },
  );
  const cores = usePages<{ coreDevices: CoreSummary[] }, CoreSummary>(
    "greengrassv2",
    "ListCoreDevices",
    single === undefined ? { thingGroupArn: deployment.targetArn } : {},
    { items: (output) => output.coreDevices },
    { enabled: single === undefined, refresh: REFRESH_MILLIS },
  );
  const core = useCall<CoreSummary>(
    "greengrassv2",
    "GetCoreDevice",
    { coreDeviceThingName: single ?? "" },
    { enabled: single !== undefined, refresh: REFRESH_MILLIS },
  );
  const effective = useCall<{ effectiveDeployments: EffectiveDeployment[] }>(
    "greengrassv2",
    "ListEffectiveDeployments",
    { coreDeviceThingName: single ?? "" },
    { enabled: single !== undefined, refresh: REFRESH_MILLIS },
  );

  let executions: Execution[];
  let isPending: boolean;
  let error: unknown;
  if (single === undefined) {
    executions = jobs.items.map(({ thingArn, jobExecutionSummary: one }) => ({
      thing: arnName(thingArn),
      status: one.status,
      ...(one.queuedAt !== undefined && { queuedAt: one.queuedAt }),
      ...(one.startedAt !== undefined && { startedAt: one.startedAt }),
      ...(one.lastUpdatedAt !== undefined && { changedAt: one.lastUpdatedAt }),
    }));
    isPending = deployment.iotJobId !== undefined && (jobs.isPending || cores.isPending);
    error = jobs.error;
  } else {
    const own = effective.data?.effectiveDeployments.find((one) => one.deploymentId === deployment.deploymentId);
    // A core that never reported has no list; what it was sent is then still queued.
    const status =
      own?.coreDeviceExecutionStatus ??
      (deployment.deploymentStatus === "ACTIVE" ? "QUEUED" : deployment.deploymentStatus);
    executions = [
      {
        thing: single,
        status: status === "COMPLETED" ? "SUCCEEDED" : status,
        queuedAt: deployment.creationTimestamp,
        ...(own && { changedAt: own.modifiedTimestamp, reason: own.reason ?? "" }),
      },
    ];
    isPending = effective.isPending || core.isPending;
    error = undefined;
  }
  const known = new Map(
    (single === undefined ? cores.items : core.data ? [core.data] : []).map((one) => [one.coreDeviceThingName, one]),
  );
  const now = Date.now() / 1000;
  return {
    executions,
    explanations: executions.map((one) => explain(one, known.get(one.thing), deployment, now)),
    isPending,
    error,
    refetch: () => void jobs.refetch(),
    hasNextPage: jobs.hasNextPage,
    isFetchingNextPage: jobs.isFetchingNextPage,
    fetchNextPage: () => void jobs.fetchNextPage(),
  };
}
