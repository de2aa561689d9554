// Gives a deployment another document. The API knows no such change (things-graph.md 7.5), so the new document is tried under
// a name of its own first; only when the server takes it is the old deployment exchanged for it.
import { call } from "../api/call.ts";
import { type Deployment, definition, GRAPH, IN_PROGRESS } from "./api.ts";
import { follow } from "./deploy/run.ts";

export interface ReplaceStep {
  readonly title: string;
  readonly state: "waiting" | "running" | "done" | "failed";
  readonly detail?: string;
}

const TRIAL = "_trial";

/** The document under another id; null when its id is not found. */
export function underAnotherId(text: string, id: string): { text: string; id: string } | null {
  const at = text.toLowerCase().indexOf(id.toLowerCase());
  const after = text.charAt(at + id.length);
  if (at === -1 || !/["']/.test(after)) return null;
  const end = at + id.length;
  return { text: `${text.slice(0, end)}${TRIAL}${text.slice(end)}`, id: `${text.slice(at, end)}${TRIAL}` };
}

/** What a deployment is created with besides its document. */
function target(deployment: Deployment): Record<string, unknown> {
  const { summary, flowActionsRoleArn, s3BucketName } = deployment;
  return {
    target: summary.target,
    ...(flowActionsRoleArn ? { flowActionsRoleArn } : {}),
    ...(summary.greengrassGroupName ? { greengrassGroupName: summary.greengrassGroupName } : {}),
    ...(s3BucketName ? { s3BucketName } : {}),
  };
}

/** Whether it is in its target now, so that the new one has to go there as well. */
export function isInTarget(deployment: Deployment): boolean {
  return deployment.summary.status === "DEPLOYED_IN_TARGET" || deployment.summary.status === "FAILED";
}

/** Carries it out; `told` hears each step. Throws what the server answered; the old deployment is then as it was. */
export async function replaceDeployment(
  deployment: Deployment,
  text: string,
  told: (steps: readonly ReplaceStep[]) => void,
): Promise<void> {
  const { id } = deployment.summary;
  const deployed = isInTarget(deployment);
  let steps: ReplaceStep[] = [
    "Check it with the server",
    ...(deployed ? ["Take the old one back"] : []),
    "Exchange the document",
    ...(deployed ? ["Bring the new one to the target"] : []),
  ].map((title) => ({ title, state: "waiting" }));
  let at = -1;
  const mark = (change: Partial<ReplaceStep>) => {
    steps = steps.map((step, index) => (index === at ? { ...step, ...change } : step));
    told(steps);
  };
  const next = () => {
    if (at >= 0) mark({ state: "done", detail: "" });
    at += 1;
    mark({ state: "running" });
  };
  const heard = (summary: Deployment["summary"]) => mark({ detail: summary.status });
  const create = (document: string) =>
    call(GRAPH, "CreateSystemInstance", { definition: definition(document), ...target(deployment) });
  try {
    next();
    const trial = underAnotherId(text, id);
    if (trial === null) throw new Error(`The text does not define ${id}: a deployment keeps its id.`);
    await create(trial.text);
    await call(GRAPH, "DeleteSystemInstance", { id: trial.id });
    if (deployed) {
      next();
      await call(GRAPH, "UndeploySystemInstance", { id });
      const gone = await follow(id, heard);
      if (IN_PROGRESS.has(gone.status))
        throw new Error("The target has not answered. It is taken back when it does; try again then.");
    }
    next();
    await call(GRAPH, "DeleteSystemInstance", { id });
    try {
      await create(text);
    } catch (failure) {
      await create(deployment.definition.text);
      throw failure;
    }
    if (deployed) {
      next();
      await call(GRAPH, "DeploySystemInstance", { id });
      const last = await follow(id, heard);
      if (last.status === "FAILED") throw new Error("The target refused it.");
    }
    mark({ state: "done", detail: "" });
  } catch (failure) {
    mark({ state: "failed", detail: failure instanceof Error ? failure.message : String(failure) });
    throw failure;
  }
}
