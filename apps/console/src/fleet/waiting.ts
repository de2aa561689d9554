// Why a deployment is where it is: one sentence per core, from what the API tells of cores and executions.
import { relative } from "../ui/format.ts";
import { type CoreSummary, type Deployment, isSilent } from "./types.ts";

export interface Execution {
  thing: string;
  status: string;
  queuedAt?: number;
  startedAt?: number;
  changedAt?: number;
  /** What the core said about its outcome. */
  reason?: string;
}

export interface Explanation {
  /** `done`: nothing to do; `wait`: time will tell; `act`: somebody has to do something. */
  kind: "done" | "wait" | "act";
  text: string;
}

/** An update that takes longer than this has probably met something. */
const LONG_SECONDS = 15 * 60;

/**
 * Explains the state of one execution. `core` is what is known of the core; undefined means it never reported. `now` is in
 * epoch seconds.
 */
export function explain(
  execution: Execution,
  core: CoreSummary | undefined,
  deployment: Deployment,
  now: number,
): Explanation {
  const { status } = execution;
  const reason = execution.reason?.trim();
  if (status === "SUCCEEDED") return { kind: "done", text: "Runs what the deployment asks for." };
  if (status === "FAILED" || status === "REJECTED" || status === "TIMED_OUT") {
    const rolledBack = deployment.deploymentPolicies?.failureHandlingPolicy === "ROLLBACK" && status === "FAILED";
    const after = rolledBack ? " It went back to what ran before." : "";
    return { kind: "act", text: `${reason ? stripCode(reason) : "The core gave no reason."}${after}` };
  }
  if (status === "CANCELED" || status === "REMOVED")
    return { kind: "done", text: "Will not be carried out on this core." };
  if (core === undefined) {
    return {
      kind: "act",
      text: "This thing has never reported as a core. Is marram-core installed on it and running?",
    };
  }
  const seen = core.lastStatusUpdateTimestamp;
  if (isSilent(core, now) && seen !== undefined) {
    return {
      kind: "act",
      text: `Last heard from ${relative(seen, now)}. It takes the deployment when it is back.`,
    };
  }
  if (status === "QUEUED") {
    const rate = deployment.iotJobConfiguration?.jobExecutionsRolloutConfig?.maximumPerMinute;
    const limit = rate === undefined ? "" : ` At most ${rate} cores a minute are told.`;
    return { kind: "wait", text: `Not fetched yet.${limit}` };
  }
  const policy = deployment.deploymentPolicies?.componentUpdatePolicy;
  const since = execution.startedAt ?? execution.changedAt ?? deployment.creationTimestamp;
  if (now - since > LONG_SECONDS) {
    const asks =
      policy?.action === "NOTIFY_COMPONENTS"
        ? ` Components may put it off, up to ${policy.timeoutInSeconds ?? 60} seconds at a time.`
        : "";
    return {
      kind: "wait",
      text: `Started ${relative(since, now)} and not done: downloading, or a component is slow to start.${asks}`,
    };
  }
  return { kind: "wait", text: "Downloading, then stopping and starting components." };
}

/** `FAILED_ROLLBACK_COMPLETE: text` as `text`. */
function stripCode(reason: string): string {
  const text = reason.replace(/^[A-Z][A-Z_]+:\s*/, "");
  const sentence = text.slice(0, 1).toUpperCase() + text.slice(1);
  return /[.!?]$/.test(sentence) ? sentence : `${sentence}.`;
}

/** The state of a whole deployment in one sentence. */
export function summary(executions: Execution[], explanations: Explanation[]): Explanation {
  const total = executions.length;
  const number = (status: string) => executions.filter((one) => one.status === status).length;
  const failed =
    total - number("SUCCEEDED") - number("QUEUED") - number("IN_PROGRESS") - number("CANCELED") - number("REMOVED");
  if (total === 0)
    return { kind: "wait", text: "No core has it yet: the target has no cores, or the deployment has just been made." };
  if (failed > 0) return { kind: "act", text: `${failed} of ${total} failed.` };
  const stuck = explanations.filter((one) => one.kind === "act").length;
  if (stuck > 0) return { kind: "act", text: `Waiting for ${stuck} of ${total} that cannot be reached.` };
  const open = number("QUEUED") + number("IN_PROGRESS");
  if (open > 0) return { kind: "wait", text: `${total - open} of ${total} done, ${open} under way.` };
  return { kind: "done", text: total === 1 ? "Done." : `Done on all ${total}.` };
}
