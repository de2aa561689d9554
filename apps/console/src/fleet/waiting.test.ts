// Why a deployment waits, told by case.
import { describe, expect, it } from "vitest";
import type { CoreSummary, Deployment } from "./types.ts";
import { type Execution, explain, summary } from "./waiting.ts";

const NOW = 1_000_000;
const deployment = {
  deploymentId: "d",
  revisionId: "1",
  targetArn: "arn:aws:iot:us-east-1:000000000000:thinggroup/g",
  deploymentStatus: "ACTIVE",
  creationTimestamp: NOW - 60,
  deploymentPolicies: {
    failureHandlingPolicy: "ROLLBACK",
    componentUpdatePolicy: { action: "NOTIFY_COMPONENTS", timeoutInSeconds: 60 },
  },
  iotJobConfiguration: { jobExecutionsRolloutConfig: { maximumPerMinute: 50 } },
} as Deployment;
const alive: CoreSummary = { coreDeviceThingName: "c", status: "HEALTHY", lastStatusUpdateTimestamp: NOW - 60 };
const silent: CoreSummary = { ...alive, lastStatusUpdateTimestamp: NOW - 3 * 86_400 };

describe("explain", () => {
  const cases: [string, Execution, CoreSummary | undefined, "done" | "wait" | "act", RegExp][] = [
    ["a success", { thing: "c", status: "SUCCEEDED" }, alive, "done", /Runs what/],
    [
      "a failure keeps the core's words",
      { thing: "c", status: "FAILED", reason: "FAILED_ROLLBACK_COMPLETE: x broke" },
      alive,
      "act",
      /^X broke\. It went back/,
    ],
    [
      "a rejection is not rolled back",
      { thing: "c", status: "REJECTED", reason: "no version fits" },
      alive,
      "act",
      /^No version fits\.$/,
    ],
    ["a core that never reported", { thing: "c", status: "QUEUED" }, undefined, "act", /never reported/],
    ["a silent core", { thing: "c", status: "QUEUED" }, silent, "act", /3 days ago/],
    ["the rollout rate", { thing: "c", status: "QUEUED" }, alive, "wait", /50 cores a minute/],
    ["a fresh start", { thing: "c", status: "IN_PROGRESS", startedAt: NOW - 30 }, alive, "wait", /Downloading/],
    [
      "a long start",
      { thing: "c", status: "IN_PROGRESS", startedAt: NOW - 3600 },
      alive,
      "wait",
      /put it off, up to 60 seconds/,
    ],
  ];
  it.each(cases)("%s", (_, execution, core, kind, text) => {
    const told = explain(execution, core, deployment, NOW);
    expect(told.kind).toBe(kind);
    expect(told.text).toMatch(text);
  });
});

describe("summary", () => {
  const tell = (...statuses: string[]) => {
    const executions = statuses.map((status, index) => ({ thing: `c${index}`, status }));
    return summary(
      executions,
      executions.map((one) => explain(one, alive, deployment, NOW)),
    );
  };
  it("names failures before anything else", () =>
    expect(tell("SUCCEEDED", "FAILED", "QUEUED").text).toBe("1 of 3 failed."));
  it("counts what is under way", () =>
    expect(tell("SUCCEEDED", "QUEUED", "IN_PROGRESS").text).toBe("1 of 3 done, 2 under way."));
  it("says when it is over", () => expect(tell("SUCCEEDED", "SUCCEEDED").text).toBe("Done on all 2."));
  it("does not take nothing for done", () => expect(tell().kind).toBe("wait"));
});
