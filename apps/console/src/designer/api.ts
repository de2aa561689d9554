// The Things Graph operations the designer, the deployment pages and the live view use.
import { useQuery } from "@tanstack/react-query";
import { call, useCall, usePages } from "../api/call.ts";
import { isNotFound } from "../api/client.ts";

export interface TemplateSummary {
  readonly id: string;
  readonly arn: string;
  readonly revisionNumber: number;
  readonly createdAt: number;
}

export interface Template {
  readonly summary: TemplateSummary;
  readonly definition: { readonly language: string; readonly text: string };
  readonly validatedNamespaceVersion?: number;
}

export type DeploymentStatus =
  | "NOT_DEPLOYED"
  | "BOOTSTRAP"
  | "DEPLOY_IN_PROGRESS"
  | "DEPLOYED_IN_TARGET"
  | "UNDEPLOY_IN_PROGRESS"
  | "FAILED"
  | "PENDING_DELETE"
  | "DELETED_IN_TARGET";

export interface DeploymentSummary {
  readonly id: string;
  readonly arn: string;
  readonly status: DeploymentStatus;
  readonly target: "CLOUD" | "GREENGRASS";
  readonly greengrassGroupName?: string;
  readonly createdAt: number;
  readonly updatedAt: number;
}

export interface Deployment {
  readonly summary: DeploymentSummary;
  readonly definition: { readonly language: string; readonly text: string };
  readonly flowActionsRoleArn?: string;
  readonly s3BucketName?: string;
  readonly validatedDependencyRevisions?: readonly { readonly id: string; readonly revisionNumber: number }[];
}

export interface ExecutionSummary {
  readonly flowExecutionId: string;
  readonly status: "RUNNING" | "SUCCEEDED" | "FAILED" | "ABORTED";
  readonly systemInstanceId: string;
  readonly flowTemplateId: string;
  readonly createdAt: number;
  readonly updatedAt: number;
}

export const GRAPH = "iotthingsgraph";

/** A document as operations take it. */
export function definition(text: string): { language: "GRAPHQL"; text: string } {
  return { language: "GRAPHQL", text };
}

/** Statuses in which something is still going on. */
export const IN_PROGRESS: ReadonlySet<DeploymentStatus> = new Set([
  "BOOTSTRAP",
  "DEPLOY_IN_PROGRESS",
  "UNDEPLOY_IN_PROGRESS",
  "PENDING_DELETE",
]);

export function useFlows() {
  return usePages<{ summaries?: TemplateSummary[]; nextToken?: string }, TemplateSummary>(
    GRAPH,
    "SearchFlowTemplates",
    { maxResults: 100 },
    { items: (page) => page.summaries },
  );
}

export function useSystems(flow?: string) {
  const filters = flow ? { filters: [{ name: "FLOW_TEMPLATE_ID", value: [flow] }] } : {};
  return usePages<{ summaries?: TemplateSummary[]; nextToken?: string }, TemplateSummary>(
    GRAPH,
    "SearchSystemTemplates",
    { maxResults: 100, ...filters },
    { items: (page) => page.summaries },
  );
}

export function useDeployments(refresh: number | false = 5_000) {
  return usePages<{ summaries?: DeploymentSummary[]; nextToken?: string }, DeploymentSummary>(
    GRAPH,
    "SearchSystemInstances",
    { maxResults: 100 },
    { items: (page) => page.summaries },
    { refresh },
  );
}

export function useDeployment(id: string | undefined, refresh: number | false = false) {
  return useCall<{ description: Deployment }>(
    GRAPH,
    "GetSystemInstance",
    { id },
    { enabled: id !== undefined, refresh },
  );
}

/** The newest revision of a flow, or the one asked for; null when there is none. */
export async function readTemplate(
  kind: "Flow" | "System",
  id: string,
  revision?: number,
  signal?: AbortSignal,
): Promise<Template | null> {
  try {
    const input = revision === undefined ? { id } : { id, revisionNumber: revision };
    return (await call<{ description: Template }>(GRAPH, `Get${kind}Template`, input, signal)).description;
  } catch (failure) {
    if (isNotFound(failure) || (failure as { code?: string }).code === "ResourceNotFoundException") return null;
    throw failure;
  }
}

export function useTemplate(kind: "Flow" | "System", id: string | undefined, revision?: number) {
  return useQuery({
    queryKey: [GRAPH, `Get${kind}Template`, id, revision ?? null],
    queryFn: ({ signal }) => readTemplate(kind, id ?? "", revision, signal),
    enabled: id !== undefined,
    staleTime: 0,
  });
}

/** Creates a template, or a new revision of one that exists. */
export async function writeTemplate(kind: "Flow" | "System", id: string, text: string): Promise<TemplateSummary> {
  const existing = await readTemplate(kind, id);
  const input = existing ? { id, definition: definition(text) } : { definition: definition(text) };
  return (await call<{ summary: TemplateSummary }>(GRAPH, `${existing ? "Update" : "Create"}${kind}Template`, input))
    .summary;
}

/** Query keys that a saved template makes stale. */
export const TEMPLATE_KEYS = ["Flow", "System"].flatMap((kind) => [
  [GRAPH, `Search${kind}Templates`],
  [GRAPH, `Get${kind}Template`],
  [GRAPH, `Get${kind}TemplateRevisions`],
]);
