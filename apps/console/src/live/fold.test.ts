// Messages of an execution become the states people see, in whatever order of luck the devices have.
import { expect, test } from "vitest";
import { duration, fold, type Message, messageOf, retryStory } from "./fold.ts";

const message = (at: number, type: string, payload: Record<string, unknown> = {}): Message => ({ at, type, payload });
const STEP = { stepName: "Snap" };

test("a step that fails, is tried again and is caught", () => {
  const run = fold([
    message(0, "START_FLOW_EXECUTION_TASK", { trigger: "OnMotion", flowParams: { camera: "cam-1" } }),
    message(1, "EXECUTION_STARTED"),
    message(2, "STEP_STARTED", { ...STEP, activation: 1 }),
    message(2, "ACTIVITY_SCHEDULED", { ...STEP, attempt: 1, inputs: {} }),
    message(3, "ACTIVITY_STARTED", { ...STEP, attempt: 1 }),
    // Requests of the runtime name a task, not a step.
    message(3, "THING_ACTION_TASK", { taskId: "0", thingName: "cam-1", protocol: "MQTT", topic: "cam-1/capture" }),
    message(63, "ACTIVITY_FAILED", { ...STEP, error: "TG.Timeout", errorMessage: "no answer", retryInMs: 1000 }),
    message(1063, "ACTIVITY_SCHEDULED", { ...STEP, attempt: 2 }),
    message(1100, "ACTIVITY_FAILED", { ...STEP, error: "TG.Permission" }),
    message(1100, "STEP_FAILED", { ...STEP, error: "TG.Permission", caughtBy: "denied", outEvents: ["alarm"] }),
    message(1101, "EXECUTION_SUCCEEDED", { durationMs: 1100 }),
  ]);
  const step = run.steps.get("snap");
  expect(run).toMatchObject({ status: "SUCCEEDED", trigger: "OnMotion", startedAt: 0, endedAt: 1101 });
  expect(step).toMatchObject({ state: "caught", caughtBy: "denied", error: "TG.Permission", events: ["alarm"] });
  expect(step && retryStory(step)).toEqual([
    "Attempt 1: asked cam-1 (MQTT cam-1/capture), failed after 61 ms with TG.Timeout: no answer. Tries again in 1.00 s.",
    "Attempt 2, failed after 37 ms with TG.Permission. Caught by “denied”.",
  ]);
});

test("when the execution fails, what still ran is over; a second activation starts afresh", () => {
  const started = [message(0, "STEP_STARTED", STEP), message(0, "STEP_STARTED", { stepName: "other" })];
  const run = fold([
    ...started,
    message(5, "STEP_FAILED", { ...STEP, error: "TG.TypeError" }),
    message(5, "EXECUTION_FAILED", { error: "TG.TypeError", stepName: "Snap" }),
  ]);
  expect(run).toMatchObject({ status: "FAILED", error: "TG.TypeError", failedStep: "Snap" });
  expect(run.steps.get("other")?.state).toBe("failed");
  const again = fold(
    [message(6, "STEP_STARTED", { ...STEP, activation: 2 })],
    fold([message(0, "STEP_STARTED", STEP), message(1, "STEP_SUCCEEDED", { ...STEP, outEvents: ["e"] })]),
  );
  expect(again.steps.get("snap")).toMatchObject({ state: "running", activations: 2, events: [] });
});

test("payloads that are no objects are shown, not believed", () => {
  expect(messageOf({ eventType: "EXECUTION_STARTED", timestamp: 2.5, payload: "plain words" })).toMatchObject({
    at: 2500,
    payload: { message: "plain words" },
  });
  expect(messageOf({ eventType: "X", payload: "[1]" }).payload).toEqual({ message: [1] });
  expect(fold([message(0, "STEP_STARTED", { stepName: 7 })]).steps.size).toBe(0);
});

test("durations as people read them", () => {
  expect([0, 999, 1500, 59_999, 61_000, 7_260_000].map(duration)).toEqual([
    "0 ms",
    "999 ms",
    "1.50 s",
    "60.0 s",
    "1 min 1 s",
    "2 h 1 min",
  ]);
});
