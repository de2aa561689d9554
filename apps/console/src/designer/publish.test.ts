// Documents of systems and deployments, and the permissions a deployment asks for.
import { expect, test } from "vitest";
import { entities } from "../models/entity.ts";
import type { Flow, FlowNode } from "./drawing.ts";
import * as publish from "./publish.ts";

const CAMERA = `query Cam @device(id: "urn:tdm:aws/examples:Device:Cam", deviceModel: "urn:tdm:aws/examples:DeviceModel:Camera") {
  MQTT { C(id: "urn:tdm:aws/examples:Capability:C") {
    Action(name: "capture") { Publish { Request(topic: "$macro(\${systemRuntime.deviceId}/capture)") { params }
      Response(topic: "$macro(\${systemRuntime.deviceId}/capture/finished)") { responsePayload(property: "urn:tdm:aws:Property:Json") } } }
    Action(name: "sleep") { Publish { Request(topic: "$macro(\${systemRuntime.deviceId}/sleep)") { params } } }
    Event(name: "moved") { Subscribe(topic: "\${systemRuntime.deviceId}/motion") { responsePayload(property: "urn:tdm:aws:Property:Json") } } } } }`;

const step = (name: string, id: string): FlowNode =>
  ({
    name,
    kind: "device",
    urn: "urn:tdm:aws/examples:DeviceModel:Camera",
    title: "Camera",
    description: null,
    position: null,
    problems: [],
    readOnly: false,
    action: "capture",
    deviceId: { value: id, from: 0, to: 0 },
    from: 0,
    to: 0,
  }) as FlowNode;
const flow: Flow = {
  urn: "urn:tdm:r-1/1/default:Workflow:Look",
  name: "Look",
  description: null,
  variables: [],
  events: [],
  edges: [],
  from: 0,
  to: 0,
  parameters: [
    { name: "camera", type: "string", from: 0, to: 0 },
    { name: "limit", type: "Int32", from: 0, to: 0 },
  ],
  nodes: [step("one", "${camera}"), step("two", "$CAMERA")],
};

test("roles follow the parameters of a flow and survive being written and read", () => {
  const roles = publish.rolesOf(flow);
  expect(roles).toEqual([{ name: "camera", urn: "urn:tdm:aws/examples:DeviceModel:Camera", parameter: "camera" }]);
  const system = publish.readSystem(
    publish.writeSystem("r-1/1/default", "Yard", 'a "yard"', roles, { urn: flow.urn ?? "", name: "Look" }),
  );
  expect(system).toEqual({
    urn: "urn:tdm:r-1/1/default:System:Yard",
    things: [{ name: "camera", urn: roles[0]?.urn }],
    flows: [{ name: "Look", urn: flow.urn }],
  });
});

test("a deployment document binds roles and tells triggers as the language has them", () => {
  const values = publish.defaultValues(flow, publish.rolesOf(flow));
  const triggers: publish.TriggerForm[] = [
    { kind: "clock", name: "each morning", every: 1, unit: "day", values },
    {
      kind: "event",
      name: "Moved",
      role: "it's",
      event: "moved",
      when: "lastEvent.isMotionDetected == true",
      values: [...values.slice(0, 1), "5"],
    },
  ];
  const text = publish.writeDeployment("r-1/1/default", {
    name: "Yard7",
    systemUrn: "urn:s",
    bindings: [{ role: "camera", thing: "cam-7" }],
    triggers,
    flowRole: "Look",
  });
  const read = publish.readDeployment(text);
  expect(read.system).toBe("urn:s");
  expect([...read.bindings]).toEqual([["camera", "cam-7"]]);
  expect(read.triggers.map((trigger) => trigger.name)).toEqual(["eachMorning", "Moved"]);
  expect(read.triggers[0]?.condition).toBe("every 1 day");
  expect(read.triggers[0]?.actions).toEqual(["ThingsGraph.startFlow('Look', bindings[name == 'camera'].deviceId)"]);
  expect(read.triggers[1]?.condition).toContain("lastEvent.isMotionDetected == true");
  expect(read.triggers[1]?.actions[0]).toContain(", 5)");
});

test("the plan lists exactly the topics of what is used, for the bound thing", () => {
  const [camera] = entities(CAMERA);
  if (!camera) throw new Error("no entity");
  const role = publish.rolesOf(flow)[0];
  if (!role) throw new Error("no role");
  const members = publish.membersUsed(flow, role, ["devices[name == 'camera'].events[name == 'moved'].lastEvent"]);
  expect([...members]).toEqual(["capture", "moved"]);
  const asked = publish.permissions([{ entity: camera, thing: "cam-7", members }], "us-east-1", "1");
  expect(asked.map((one) => `${one.action} ${one.resource.split(":").at(-1)}`)).toEqual([
    "iot:Publish topic/cam-7/capture",
    "iot:Subscribe topicfilter/cam-7/capture/finished",
    "iot:Receive topic/cam-7/capture/finished",
    "iot:Subscribe topicfilter/cam-7/motion",
    "iot:Receive topic/cam-7/motion",
  ]);
});

test("policy patterns cover names by star and question mark only", () => {
  expect(publish.covers("arn:*:topic/cam-*", "arn:aws:topic/cam-7/capture")).toBe(true);
  expect(publish.covers("topic/cam.?", "topic/camx7")).toBe(false);
  expect(publish.covers("topic/(a|b)+", "topic/a")).toBe(false);
});
