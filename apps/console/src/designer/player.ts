// Plays the timeline of a simulation: what every step looks like after each moment, forwards and backwards.
import { EMPTY_RUN, foldMessage, type Message, type RunView } from "../live/fold.ts";
import type { TimelineItem } from "../tdm-editor/service.ts";

export interface Moment {
  /** Its place in the playback. */
  readonly index: number;
  /** Virtual milliseconds. */
  readonly at: number;
  readonly kind: string;
  readonly step: string | null;
  readonly execution: number | null;
  readonly detail: TimelineItem["detail"];
  /** How things stand after it. */
  readonly run: RunView;
}

export interface Playback {
  readonly moments: readonly Moment[];
  /** Executions that took part, in order. */
  readonly executions: readonly number[];
}

/** Real milliseconds between two moments at speed 1, whatever the virtual time between them. */
const SHORTEST_MS = 120;
const LONGEST_MS = 900;

/** Folds a timeline; of several executions one is played at a time. */
export function playback(timeline: readonly TimelineItem[], execution: number | null): Playback {
  const executions = [...new Set(timeline.flatMap((item) => item.execution ?? []))];
  const shown = execution ?? executions[0] ?? null;
  let run: RunView = EMPTY_RUN;
  const moments: Moment[] = [];
  for (const item of timeline) {
    if (item.execution !== null && item.execution !== shown) continue;
    const payload =
      item.step !== null && item.detail.stepName === undefined ? { ...item.detail, stepName: item.step } : item.detail;
    const message: Message = { at: item.at_ms, type: item.kind, payload };
    run = foldMessage(run, message);
    moments.push({
      index: moments.length,
      at: item.at_ms,
      kind: item.kind,
      step: item.step,
      execution: item.execution,
      detail: payload,
      run,
    });
  }
  return { moments, executions };
}

/** How long to stay before `index` at a speed: the virtual time, made bearable. */
export function pause(playing: Playback, index: number, speed: number): number {
  const before = playing.moments[index - 1]?.at ?? 0;
  const virtual = (playing.moments[index]?.at ?? before) - before;
  return Math.min(LONGEST_MS, Math.max(SHORTEST_MS, virtual)) / speed;
}

/** The next moment at which a step starts or ends; where "step" goes. */
export function nextStep(playing: Playback, index: number): number {
  const next = playing.moments.findIndex((moment, at) => at > index && isMark(moment));
  return next === -1 ? Math.max(0, playing.moments.length - 1) : next;
}

export function previousStep(playing: Playback, index: number): number {
  for (let at = index - 1; at > 0; at -= 1) {
    const moment = playing.moments[at];
    if (moment && isMark(moment)) return at;
  }
  return 0;
}

function isMark(moment: Moment): boolean {
  return /^(STEP_|EXECUTION_|ACTIVITY_FAILED|PROBLEM)/.test(moment.kind);
}

/** A moment in words. */
export function sentence(moment: Moment): string {
  const { detail, step } = moment;
  const text = (value: unknown) => (typeof value === "string" ? value : JSON.stringify(value));
  switch (moment.kind) {
    case "EXECUTION_STARTED":
      return "The flow starts.";
    case "STEP_STARTED":
      return `“${step}” starts.`;
    case "THING_ACTION_TASK":
      return `${text(detail.thingName ?? detail.service ?? "the device")} is asked to ${text(detail.action ?? "act")}.`;
    case "THING_ACTION_TASK_SUCCEEDED":
      return "The answer is there.";
    case "ACTIVITY_FAILED":
      return `“${step}” failed with ${text(detail.error)}${detail.retryInMs === undefined ? "." : `; it tries again in ${String(detail.retryInMs)} ms.`}`;
    case "STEP_SUCCEEDED":
      return detail.skipped === true ? `“${step}” is skipped.` : `“${step}” is done.`;
    case "STEP_FAILED":
      return `“${step}” failed with ${text(detail.error)}${detail.caughtBy ? `, caught by “${text(detail.caughtBy)}”` : ""}.`;
    case "EXECUTION_SUCCEEDED":
      return "The flow is done.";
    case "EXECUTION_FAILED":
      return `The flow failed with ${text(detail.error)}.`;
    case "EXECUTION_ABORTED":
      return "The flow was stopped.";
    case "PROBLEM":
      return text(detail.message);
    default:
      return `${step ? `“${step}”: ` : ""}${moment.kind.toLowerCase().replaceAll("_", " ")}`;
  }
}
