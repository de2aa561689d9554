// The timeline of a deployment: events of cores, those of one minute told together.
import type { Deployment } from "./types.ts";
import type { Execution } from "./waiting.ts";

export interface Moment {
  kind: "made" | "begun" | "done" | "failed" | "over";
  /** Epoch seconds. */
  at: number;
  /** The cores it happened on. */
  things: string[];
}

const TOGETHER_SECONDS = 60;
const OPEN = ["QUEUED", "IN_PROGRESS"];

/** Newest last. */
export function moments(deployment: Deployment, executions: Execution[]): Moment[] {
  const single: Moment[] = [];
  for (const one of executions) {
    if (one.startedAt !== undefined) single.push({ kind: "begun", at: one.startedAt, things: [one.thing] });
    if (one.changedAt === undefined || OPEN.includes(one.status)) continue;
    single.push({ kind: one.status === "SUCCEEDED" ? "done" : "failed", at: one.changedAt, things: [one.thing] });
  }
  single.sort((a, b) => a.at - b.at);
  const told: Moment[] = [{ kind: "made", at: deployment.creationTimestamp, things: [] }];
  for (const moment of single) {
    const same = told.find((one) => one.kind === moment.kind && moment.at - one.at < TOGETHER_SECONDS);
    if (same) same.things.push(...moment.things);
    else told.push(moment);
  }
  const last = single.at(-1);
  if (last && executions.length > 0 && executions.every((one) => !OPEN.includes(one.status))) {
    told.push({ kind: "over", at: last.at, things: [] });
  }
  return told;
}
