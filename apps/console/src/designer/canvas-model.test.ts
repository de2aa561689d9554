// Layout, clipboard, palette and playback: what the canvas is computed from.
import { expect, test } from "vitest";
import { copy, freshName, paste, read } from "./clipboard.ts";
import type { Flow, FlowEdge, FlowNode } from "./drawing.ts";
import { arrange, freeSpot, NODE_WIDTH, nodeHeight, places } from "./layout.ts";
import { type PaletteEntry, search } from "./palette.ts";
import { nextStep, playback, previousStep } from "./player.ts";

function node(name: string, change: Partial<FlowNode> = {}): FlowNode {
  return {
    name,
    kind: "device",
    urn: "urn:tdm:aws/examples:DeviceModel:Camera",
    title: "Camera",
    description: null,
    position: null,
    problems: [],
    readOnly: false,
    outputs: [{ port: "success", label: "success", condition: null, events: [] }],
    from: 0,
    to: 0,
    ...change,
  };
}

function edge(source: string, target: string, port = "success"): FlowEdge {
  return {
    id: `${source}|${port}|e|${target}`,
    source,
    target,
    port,
    event: "e",
    label: null,
    condition: port.startsWith("rule") ? "x > 1" : null,
    kind: port.startsWith("rule") ? "choice" : "success",
    from: 0,
    to: 0,
  };
}

function flow(nodes: FlowNode[], edges: FlowEdge[]): Flow {
  return {
    urn: "urn:tdm:us-east-1/000000000000/default:Workflow:F",
    name: "F",
    description: null,
    parameters: [],
    variables: [],
    events: [],
    nodes,
    edges,
    from: 0,
    to: 0,
  };
}

test("the layout follows the edges and no two nodes overlap", () => {
  const names = Array.from({ length: 40 }, (_, index) => `step ${index}`);
  const edges = names.slice(1).map((name, index) => edge(names[Math.floor(index / 2)] ?? "", name));
  const drawn = flow(
    names.map((name) => node(name)),
    edges,
  );
  const at = arrange(drawn);
  for (const { source, target } of edges) expect(at.get(source)?.x).toBeLessThan(at.get(target)?.x ?? 0);
  const boxes = drawn.nodes.map((one) => ({ ...(at.get(one.name) ?? { x: 0, y: 0 }), height: nodeHeight(one) }));
  for (const [index, one] of boxes.entries()) {
    for (const other of boxes.slice(index + 1)) {
      const apart =
        Math.abs(one.x - other.x) >= NODE_WIDTH || one.y + one.height <= other.y || other.y + other.height <= one.y;
      expect(apart).toBe(true);
    }
  }
});

test("positions of the document stay; what has none stands below, a new node beside its predecessor", () => {
  const at = places(flow([node("a", { position: { x: 10, y: 20 } }), node("b"), node("c")], [edge("b", "c")]));
  expect(at.get("a")).toEqual({ x: 10, y: 20 });
  expect(at.get("b")?.y).toBeGreaterThan(20 + nodeHeight(node("a")));
  expect(freeSpot(at, "a")).toEqual({ x: 10 + NODE_WIDTH + 80, y: 20 });
});

test("copied steps come back with new names, inner connections and without foreign events", () => {
  const onError = {
    retries: [],
    catches: [{ name: "c", errorEquals: ["States.ALL"], condition: null, raiseEvent: ["alarm"], expr: null }],
    from: 0,
    to: 0,
  };
  const drawn = flow(
    [node("a", { kind: "choice", urn: null }), node("b", { onError }), node("c")],
    [edge("a", "b", "rule:0"), edge("b", "c")],
  );
  const copied = copy(drawn, new Set(["a", "b"]), new Map([["a", { x: 0, y: 0 }]]));
  const back = read(JSON.stringify(copied));
  expect(back).toEqual(copied);
  const { edits, names } = paste(back ?? { mark: "marram-steps-1", nodes: [], edges: [] }, drawn, "F");
  expect(names).toEqual(["a 2", "b 2"]);
  expect(edits.map((one) => one.op)).toEqual(["add-node", "add-node", "set-on-error", "connect"]);
  expect(edits[0]).toMatchObject({ node: { name: "a 2", position: { x: 40, y: 40 } } });
  expect(edits[2]).toMatchObject({ catches: [{ raiseEvent: [] }] });
  expect(edits[3]).toMatchObject({ source: "a 2", target: "b 2", condition: "x > 1" });
});

test("foreign clipboard text is never taken for steps", () => {
  for (const text of [
    "",
    "{}",
    "marram-steps-1",
    '{"mark":"marram-steps-1","nodes":[{"name":1}],"edges":[]}',
    '{"mark":"marram-steps-1"}',
    "[1,2",
  ]) {
    expect(read(text)).toBeNull();
  }
  const taken = new Set(["x", "x 2"]);
  expect(freshName("x", taken)).toBe("x 3");
  expect(freshName("X 2", taken)).toBe("X 4");
});

test("the palette finds by title before actions, and by every word", () => {
  const entry = (title: string, actions: string[]): PaletteEntry => ({
    id: title,
    kind: "device",
    title,
    from: "library",
    group: "Devices",
    urn: title,
    actions,
    description: "",
  });
  const entries = [entry("Screen", ["display"]), entry("Camera", ["capture"]), entry("CaptureBox", ["open"])];
  expect(search(entries, "capture").map((one) => one.title)).toEqual(["CaptureBox", "Camera"]);
  expect(search(entries, "screen disp").map((one) => one.title)).toEqual(["Screen"]);
  expect(search(entries, "screen capture")).toEqual([]);
});

test("a simulation plays forwards and backwards over steps, one execution at a time", () => {
  const item = (at_ms: number, kind: string, step: string | null, detail = {}, execution = 1) => ({
    at_ms,
    kind,
    step,
    execution,
    detail,
  });
  const timeline = [
    item(0, "EXECUTION_STARTED", null),
    item(0, "STEP_STARTED", "snap"),
    item(0, "ACTIVITY_SCHEDULED", "snap", { attempt: 1 }),
    item(5, "EXECUTION_STARTED", null, {}, 2),
    item(100, "ACTIVITY_FAILED", "snap", { error: "TG.Timeout", retryInMs: 1000 }),
    item(1100, "ACTIVITY_SCHEDULED", "snap", { attempt: 2 }),
    item(1200, "ACTIVITY_SUCCEEDED", "snap", { value: 7, out: "p" }),
    item(1200, "STEP_SUCCEEDED", "snap", { outEvents: ["done"] }),
    item(1200, "EXECUTION_SUCCEEDED", null),
  ];
  const playing = playback(timeline, null);
  expect(playing.executions).toEqual([1, 2]);
  expect(playing.moments).toHaveLength(8);
  const states = playing.moments.map((moment) => moment.run.steps.get("snap")?.state ?? "-");
  expect(states).toEqual(["-", "running", "running", "retrying", "running", "running", "succeeded", "succeeded"]);
  expect(playing.moments.at(-1)?.run).toMatchObject({ status: "SUCCEEDED", endedAt: 1200 });
  expect(nextStep(playing, 1)).toBe(3);
  expect(previousStep(playing, 3)).toBe(1);
});
