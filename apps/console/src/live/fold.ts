// What the messages of an execution add up to: the state of each step, its attempts, values, timing and failures.

/** A message of an execution, from history, from the live stream or from the simulator. */
export interface Message {
  /** Milliseconds: of the epoch, or of virtual time. */
  readonly at: number;
  readonly type: string;
  readonly payload: Readonly<Record<string, unknown>>;
  readonly id?: string;
}

export type StepState = "waiting" | "running" | "retrying" | "succeeded" | "caught" | "failed" | "skipped";

export interface Attempt {
  readonly number: number;
  readonly startedAt: number;
  readonly endedAt?: number;
  readonly error?: string;
  readonly errorMessage?: string;
  readonly retryInMs?: number;
  readonly request?: string;
  readonly thing?: string;
}

export interface StepView {
  readonly name: string;
  readonly state: StepState;
  readonly activations: number;
  readonly startedAt: number;
  readonly endedAt?: number;
  readonly attempts: readonly Attempt[];
  readonly value?: unknown;
  readonly out?: string;
  readonly error?: string;
  readonly errorMessage?: string;
  readonly caughtBy?: string;
  readonly events: readonly string[];
  readonly inputs?: unknown;
}

export type RunStatus = "RUNNING" | "SUCCEEDED" | "FAILED" | "ABORTED";

export interface RunView {
  readonly status: RunStatus;
  readonly startedAt?: number;
  readonly endedAt?: number;
  readonly error?: string;
  readonly errorMessage?: string;
  readonly failedStep?: string;
  readonly trigger?: string;
  readonly parameters?: unknown;
  /** The step whose activity started last, in lower case: requests do not name theirs. */
  readonly active?: string;
  /** By step name in lower case. */
  readonly steps: ReadonlyMap<string, StepView>;
}

export const EMPTY_RUN: RunView = { status: "RUNNING", steps: new Map() };

const string = (value: unknown): string | undefined => (typeof value === "string" && value !== "" ? value : undefined);
const number = (value: unknown): number | undefined => (typeof value === "number" ? value : undefined);
const strings = (value: unknown): string[] =>
  Array.isArray(value) ? value.filter((item) => typeof item === "string") : [];

function fresh(name: string, at: number): StepView {
  return { name, state: "waiting", activations: 0, startedAt: at, attempts: [], events: [] };
}

function describeTarget(payload: Message["payload"]): string | undefined {
  const target =
    string(payload.topic) ??
    string(payload.url) ??
    (payload.address === undefined ? undefined : `address ${String(payload.address)}`);
  return [string(payload.protocol), target].filter(Boolean).join(" ") || undefined;
}

function lastAttempt(step: StepView, change: Partial<Attempt>, at: number): StepView {
  const attempts = step.attempts.length > 0 ? [...step.attempts] : [{ number: 1, startedAt: at }];
  const last = attempts[attempts.length - 1];
  if (last) attempts[attempts.length - 1] = { ...last, ...change };
  return { ...step, attempts };
}

function defined<T extends object>(value: T): T {
  return Object.fromEntries(Object.entries(value).filter(([, entry]) => entry !== undefined)) as T;
}

function stepAfter(step: StepView, message: Message): StepView {
  const { at, payload } = message;
  switch (message.type) {
    case "STEP_STARTED":
      return {
        ...fresh(step.name, at),
        state: "running",
        activations: number(payload.activation) ?? step.activations + 1,
      };
    case "ACTIVITY_SCHEDULED": {
      const attempt = { number: number(payload.attempt) ?? step.attempts.length + 1, startedAt: at };
      return {
        ...step,
        state: "running",
        attempts: [...step.attempts, attempt],
        inputs: payload.inputs ?? step.inputs,
      };
    }
    case "ACTIVITY_STARTED":
      return lastAttempt({ ...step, state: "running" }, {}, at);
    case "THING_ACTION_TASK":
      return lastAttempt(
        step,
        defined({ request: describeTarget(payload), thing: string(payload.thingName) ?? string(payload.service) }),
        at,
      );
    case "THING_ACTION_TASK_FAILED":
      return lastAttempt(
        step,
        defined({ error: string(payload.error), errorMessage: string(payload.errorMessage) }),
        at,
      );
    case "ACTIVITY_FAILED": {
      const retryInMs = number(payload.retryInMs);
      const told = defined({
        endedAt: at,
        error: string(payload.error),
        errorMessage: string(payload.errorMessage),
        retryInMs,
      });
      const failed = lastAttempt(step, told, at);
      return {
        ...failed,
        state: retryInMs === undefined ? "running" : "retrying",
        ...defined({ error: told.error, errorMessage: told.errorMessage }),
      };
    }
    case "ACTIVITY_SUCCEEDED": {
      const { error: _error, errorMessage: _message, ...clean } = lastAttempt(step, { endedAt: at }, at);
      const chosen = string(payload.rule);
      return { ...clean, ...defined({ value: payload.value ?? chosen, out: string(payload.out) }) };
    }
    case "STEP_SUCCEEDED":
      return {
        ...step,
        state: payload.skipped === true ? "skipped" : "succeeded",
        endedAt: at,
        events: strings(payload.outEvents),
      };
    case "STEP_FAILED": {
      const caughtBy = string(payload.caughtBy);
      const told = defined({
        error: string(payload.error) ?? step.error,
        errorMessage: string(payload.errorMessage) ?? step.errorMessage,
        caughtBy,
      });
      return {
        ...step,
        ...told,
        state: caughtBy ? "caught" : "failed",
        endedAt: at,
        events: strings(payload.outEvents),
      };
    }
    default:
      return step;
  }
}

/** The run after one more message. */
export function foldMessage(run: RunView, message: Message): RunView {
  const { type, payload, at } = message;
  if (type === "START_FLOW_EXECUTION_TASK" || type === "EXECUTION_STARTED") {
    return {
      ...run,
      startedAt: run.startedAt ?? at,
      ...defined({ trigger: string(payload.trigger) ?? run.trigger, parameters: payload.flowParams ?? run.parameters }),
    };
  }
  if (type === "EXECUTION_SUCCEEDED") return { ...run, status: "SUCCEEDED", endedAt: at };
  if (type === "EXECUTION_FAILED" || type === "EXECUTION_ABORTED") {
    const told = defined({
      error: string(payload.error) ?? string(payload.reason),
      errorMessage: string(payload.errorMessage),
      failedStep: string(payload.stepName),
    });
    const steps = new Map(run.steps);
    // Whatever still ran was cancelled with the execution.
    for (const [key, step] of steps)
      if (step.state === "running" || step.state === "retrying")
        steps.set(key, { ...step, state: "failed", endedAt: at });
    return { ...run, ...told, steps, status: type === "EXECUTION_FAILED" ? "FAILED" : "ABORTED", endedAt: at };
  }
  const name = string(payload.stepName) ?? (type === "THING_ACTION_TASK" ? run.active : undefined);
  if (!name) return run;
  const key = name.toLowerCase();
  const before = run.steps.get(key) ?? fresh(name, at);
  const after = stepAfter(before, message);
  const active = type === "ACTIVITY_STARTED" ? { active: key } : {};
  if (after === run.steps.get(key)) return { ...run, ...active };
  return { ...run, ...active, startedAt: run.startedAt ?? at, steps: new Map(run.steps).set(key, after) };
}

/** The run after all messages, in the order given. */
export function fold(messages: Iterable<Message>, from: RunView = EMPTY_RUN): RunView {
  let run = from;
  for (const message of messages) run = foldMessage(run, message);
  return run;
}

/** A message of ListFlowExecutionMessages. */
export function messageOf(entry: {
  messageId?: string;
  eventType?: string;
  timestamp?: number;
  payload?: string;
}): Message {
  let payload: Message["payload"] = {};
  try {
    const read: unknown = JSON.parse(entry.payload ?? "{}");
    payload =
      typeof read === "object" && read !== null && !Array.isArray(read)
        ? (read as Record<string, unknown>)
        : { message: read };
  } catch {
    payload = { message: entry.payload };
  }
  return {
    at: (entry.timestamp ?? 0) * 1000,
    type: entry.eventType ?? "",
    payload,
    ...(entry.messageId ? { id: entry.messageId } : {}),
  };
}

/** One sentence per attempt: what was tried, what went wrong, what happened then. */
export function retryStory(step: StepView): string[] {
  return step.attempts.map((attempt, index) => {
    const to = [attempt.thing && `asked ${attempt.thing}`, attempt.request && `(${attempt.request})`]
      .filter(Boolean)
      .join(" ");
    const took = attempt.endedAt === undefined ? "" : ` after ${duration(attempt.endedAt - attempt.startedAt)}`;
    const head = `Attempt ${attempt.number || index + 1}${to ? `: ${to}` : ""}`;
    if (!attempt.error)
      return attempt.endedAt === undefined ? `${head}, still waiting for the answer.` : `${head}, answered${took}.`;
    const reason = `failed${took} with ${attempt.error}${attempt.errorMessage ? `: ${attempt.errorMessage}` : ""}`;
    const then =
      attempt.retryInMs !== undefined
        ? `Tries again in ${duration(attempt.retryInMs)}.`
        : step.caughtBy
          ? `Caught by “${step.caughtBy}”.`
          : "No retry or catch matched.";
    return `${head}, ${reason}${/[.!?]$/.test(reason) ? "" : "."} ${then}`;
  });
}

/** Milliseconds as people read them. */
export function duration(ms: number): string {
  if (ms < 1000) return `${Math.round(ms)} ms`;
  if (ms < 60_000) return `${(ms / 1000).toFixed(ms < 10_000 ? 2 : 1)} s`;
  const minutes = Math.floor(ms / 60_000);
  if (minutes < 60) return `${minutes} min ${Math.round((ms % 60_000) / 1000)} s`;
  return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}
