// The timeline of a deployment, told by case.
import { expect, it } from "vitest";
import { moments } from "./moments.ts";
import type { Deployment } from "./types.ts";

const deployment = { creationTimestamp: 100 } as Deployment;

it("tells cores of one minute together and ends when nothing is open", () => {
  const told = moments(deployment, [
    { thing: "a", status: "SUCCEEDED", startedAt: 110, changedAt: 150 },
    { thing: "b", status: "SUCCEEDED", startedAt: 120, changedAt: 160 },
    { thing: "c", status: "FAILED", startedAt: 500, changedAt: 520 },
  ]);
  expect(told.map((one) => `${one.kind}@${one.at} ${one.things.join("+")}`)).toEqual([
    "made@100 ",
    "begun@110 a+b",
    "done@150 a+b",
    "begun@500 c",
    "failed@520 c",
    "over@520 ",
  ]);
});

it("is not over while a core is queued", () => {
  const told = moments(deployment, [
    { thing: "a", status: "SUCCEEDED", startedAt: 110, changedAt: 150 },
    { thing: "b", status: "QUEUED" },
  ]);
  expect(told.at(-1)?.kind).toBe("done");
});
