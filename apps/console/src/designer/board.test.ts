// Triggers as text and form, boards as edits, and what the canvas draws again.
import { expect, test } from "vitest";
import { canvasEdges, canvasNodes, sameDrawing } from "./canvas-nodes.ts";
import { DEPLOYMENT_DESK, FLOW_DESK, moveEdit, SYSTEM_DESK } from "./desk.ts";
import { type Drawing, type Flow, type FlowNode, nodeId, triggerId } from "./drawing.ts";
import { handlesOf } from "./layout.ts";
import { paletteOf, templatesOf } from "./palette.ts";
import { storedTriggers } from "./publish.ts";
import { underAnotherId } from "./replace-deployment.ts";
import { readCondition, writeAction, writeCondition } from "./trigger-text.ts";

const node = (name: string, kind: FlowNode["kind"], change: Partial<FlowNode> = {}): FlowNode => ({
  name,
  kind,
  urn: null,
  title: name,
  description: null,
  position: { x: 0, y: 0 },
  problems: [],
  readOnly: false,
  from: 0,
  to: 0,
  ...change,
});

const MOTION = "devices[name == 'door'].events[name == 'StateChanged'].lastEvent";

test.each([
  ["every 1 hour", { kind: "clock", every: 1, unit: "hour" }],
  ["every 15 seconds", { kind: "clock", every: 15, unit: "second" }],
  [MOTION, { kind: "event", role: "door", event: "StateChanged", when: "" }],
  [
    `${MOTION}.isMotionDetected == true`,
    { kind: "event", role: "door", event: "StateChanged", when: "lastEvent.isMotionDetected == true" },
  ],
  ["lastEvent.x == 1", { kind: "event", role: "", event: "", when: "lastEvent.x == 1" }],
] as const)("%s is what a form shows, and is written again as it was", (text, condition) => {
  expect(readCondition(text)).toEqual(condition);
  expect(writeCondition(condition)).toBe(text);
});

test("a condition that says more than a form can is left to its text", () => {
  expect(readCondition(`${MOTION}.a && devices[name == 'gate'].events[name == 'e'].lastEvent.b`)).toBeNull();
  expect(readCondition("every fortnight")).toBeNull();
  expect(readCondition("devices.door.StateChanged.x")).toBeNull();
});

test("a deployment's trigger listens to a device, starts a flow, and keeps apart from a role of its name", () => {
  const deployment = {
    urn: "urn:tdm:r/1/default:Deployment:D",
    name: "D",
    description: null,
    system: null,
    nodes: [
      node("door", "device", { thing: "door-1", events: ["StateChanged"] }),
      node("cam", "device", { thing: null }),
      node("Look", "flow", { parameters: [{ name: "cam", type: "string", required: true }] }),
      node("Look", "clock", { condition: "every 1 hour", starts: [] }),
      node("Moved", "event", { condition: "lastEvent", starts: [] }),
    ],
    edges: [],
    from: 0,
    to: 0,
  };
  const drawing: Drawing = { flows: [], systems: [], deployments: [deployment], diagnostics: [] };
  const board = DEPLOYMENT_DESK.subject(drawing, null) as Flow;
  expect(DEPLOYMENT_DESK.subject(drawing, null), "made once per drawing").toBe(board);
  expect(new Set(board.nodes.map(nodeId)).size).toBe(5);
  const [door, cam, flow, clock, moved] = board.nodes as [FlowNode, FlowNode, FlowNode, FlowNode, FlowNode];
  expect(DEPLOYMENT_DESK.connect("D", board, clock, flow, null)).toEqual({
    op: "set-trigger",
    deployment: "D",
    trigger: "Look",
    actions: ["ThingsGraph.startFlow('Look', bindings[name == 'cam'].deviceId)"],
  });
  expect(DEPLOYMENT_DESK.connect("D", board, door, moved, null)).toMatchObject({ condition: MOTION });
  expect(DEPLOYMENT_DESK.connect("D", board, door, flow, null)).toBeNull();
  expect(moveEdit(DEPLOYMENT_DESK, "D", clock, { x: 1, y: 2 })).toMatchObject({ trigger: "Look" });
  expect(moveEdit(DEPLOYMENT_DESK, "D", cam, { x: 1, y: 2 }), "the text has no place for it").toBeNull();
  expect(DEPLOYMENT_DESK.remove("D", door)).toEqual({ op: "unbind", deployment: "D", role: "door" });
});

test("palette entries become edits of the desk they are dropped on", () => {
  const clock = paletteOf([]).find((entry) => entry.kind === "clock");
  const [flow] = templatesOf("flow", ["urn:tdm:r/1/default:Workflow:Look"]);
  const empty = { nodes: [node("Clock", "clock")], edges: [] } as unknown as Flow;
  const at = { x: 1, y: 2 };
  if (!clock || !flow) throw new Error("the palette lacks an entry");
  expect(FLOW_DESK.add("F", empty, clock, at)).toMatchObject({
    op: "add-trigger",
    flow: "F",
    trigger: { name: "Clock2", condition: "every 1 hour" },
  });
  expect(SYSTEM_DESK.add("S", empty, flow, at)).toMatchObject({ system: "S", node: { kind: "flow", urn: flow.urn } });
  expect(SYSTEM_DESK.add("S", empty, clock, at)).toBeNull();
});

test("the triggers stored with a flow are what a deployment proposes", () => {
  const flow = {
    name: "Look",
    parameters: [{ name: "cam", type: "string", from: 0, to: 0 }],
    nodes: [
      node("Often", "clock", { condition: "every 5 minutes" }),
      node("Moved", "event", { condition: MOTION, starts: [{ expr: "", flow: "Look", values: ["'c'"] }] }),
      node("Odd", "event", { condition: "devices.a.b && devices.c.d" }),
    ],
  } as unknown as Flow;
  const role = (name: string) => ({ name, urn: "u", parameter: null });
  const found = storedTriggers(flow, [role("cam"), role("Door")]);
  expect(found).toEqual([
    { kind: "clock", name: "Often", every: 5, unit: "minute", values: ["bindings[name == 'cam'].deviceId"] },
    { kind: "event", name: "Moved", role: "Door", event: "StateChanged", when: "", values: ["'c'"] },
  ]);
  expect(storedTriggers(flow, []).at(1)).toMatchObject({ role: "", event: "" });
  expect(writeAction("it's", ["1", "", ""])).toBe("ThingsGraph.startFlow('it\\'s', 1)");
});

test("a deployment is tried under an id of its own", () => {
  const id = "urn:tdm:r/1/default:Deployment:Bed";
  const text = `query Bed @deployment(id: "${id}", systemId: "s") {}`;
  const trial = underAnotherId(text, id);
  expect(trial?.text).toBe(text.replace(id, `${id}_trial`));
  expect(underAnotherId(text, "urn:tdm:r/1/default:Deployment:Be"), "not a longer name's beginning").toBeNull();
  expect(underAnotherId(text, "urn:tdm:r/1/default:Deployment:Other")).toBeNull();
});

test("an edit elsewhere in the text draws no step again; a change does", () => {
  const flow = (nodes: FlowNode[]): Flow => ({ nodes, edges: [], urn: "u", name: "F" }) as unknown as Flow;
  const before = canvasNodes(flow([node("a", "device"), node("b", "device")]), [], [], null);
  const after = canvasNodes(
    flow([node("a", "device", { from: 9, to: 20 }), node("b", "device", { title: "B" })]),
    [],
    before,
    null,
  );
  expect(after[0]).toBe(before[0]);
  expect(after[1]).not.toBe(before[1]);
  expect(sameDrawing({ a: [1, { from: 1 }] }, { a: [1, { from: 2 }] })).toBe(true);
  expect(sameDrawing({ a: [1] }, { a: [1, 2] })).toBe(false);
});

test("every edge leaves from and ends at a point that its nodes have", () => {
  const choice = node("c", "choice", {
    inEvent: null,
    outputs: [{ port: "rule:0", label: "", condition: null, events: ["e"] }],
  });
  const trigger = node("T", "event", { inlet: true });
  const ids = (one: FlowNode) => handlesOf(one).map((handle) => handle.id);
  expect(ids(choice)).toEqual(["in", "rule:0", "new-rule", "error"]);
  expect(ids(trigger)).toEqual(["in", "out"]);
  const edge = {
    id: "x",
    source: "T",
    target: "c",
    port: "trigger",
    event: null,
    label: null,
    condition: null,
    from: 0,
    to: 0,
  };
  const drawn = canvasEdges({ nodes: [], edges: [{ ...edge, kind: "triggers" as const }] } as unknown as Flow, []);
  expect(drawn[0]).toMatchObject({ source: triggerId("T"), target: "c", sourceHandle: "out", targetHandle: "in" });
});
