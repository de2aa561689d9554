// The form of a deployment: what it sends.
import { expect, it } from "vitest";
import { choicesOf, mistake, request } from "./deployment-form.ts";
import type { Deployment } from "./types.ts";

const GROUP = "arn:aws:iot:us-east-1:000000000000:thinggroup/g";
const base = {
  targetArn: GROUP,
  components: {
    a: {
      componentVersion: "1.0.0",
      runWith: { posixUser: "me" },
      configurationUpdate: { merge: '{"x":1}', reset: ["/y"] },
    },
  },
  deploymentPolicies: { failureHandlingPolicy: "ROLLBACK", componentUpdatePolicy: { timeoutInSeconds: 9 } },
  iotJobConfiguration: {
    jobExecutionsRolloutConfig: { maximumPerMinute: 5 },
    timeoutConfig: { inProgressTimeoutInMinutes: 3 },
  },
} as unknown as Deployment;

it("keeps what the form does not show when it revises", () => {
  const sent = request(
    { name: "", targetArn: GROUP, choices: choicesOf(base), onFailure: "DO_NOTHING", rate: undefined },
    base,
  );
  expect(sent).toEqual({
    targetArn: GROUP,
    components: base.components,
    deploymentPolicies: { failureHandlingPolicy: "DO_NOTHING", componentUpdatePolicy: { timeoutInSeconds: 9 } },
    iotJobConfiguration: { timeoutConfig: { inProgressTimeoutInMinutes: 3 } },
  });
});

it("drops a configuration that was emptied", () => {
  const sent = request(
    {
      name: "n",
      targetArn: GROUP,
      choices: [{ name: "a", version: "2.0.0", merge: "", reset: [] }],
      onFailure: "ROLLBACK",
      rate: 7,
    },
    base,
  );
  expect(sent.components).toEqual({ a: { componentVersion: "2.0.0", runWith: { posixUser: "me" } } });
  expect(sent.iotJobConfiguration).toMatchObject({ jobExecutionsRolloutConfig: { maximumPerMinute: 7 } });
});

it("names the first mistake", () => {
  expect(mistake("", [])).toMatch(/target/);
  expect(mistake(GROUP, [{ name: "a", version: "", merge: "", reset: [] }])).toMatch(/version of a/);
  expect(mistake(GROUP, [{ name: "a", version: "1.0.0", merge: "[1]", reset: [] }])).toMatch(/JSON object/);
  expect(mistake(GROUP, [{ name: "a", version: "1.0.0", merge: "", reset: ["y"] }])).toMatch(/starts with/);
  expect(mistake(GROUP, [])).toBeNull();
});
