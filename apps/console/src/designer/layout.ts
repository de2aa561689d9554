// Where nodes stand: sizes, automatic layout, and places for nodes the document gives no position.
import { Graph, layout } from "@dagrejs/dagre";
import { type NodeHandle, Position } from "@xyflow/react";
import { endOf, type Flow, type FlowNode, isTrigger, nodeId, type Output, type Point } from "./drawing.ts";

export const NODE_WIDTH = 248;
const HEADER = 62;
const ROW = 26;
const FOOT = 9;
/** Size of the points that connections are drawn from. */
const HANDLE = 10;
/** Where the first row of ports starts. */
const ROWS = 66;
/** Distance of new nodes from what is there. */
const MARGIN = 80;

/** Ports that are drawn as rows of their own; `success` sits on the header, where there is room for it. */
export function portRows(node: FlowNode): readonly Output[] {
  return (node.outputs ?? []).filter((output) => output.port !== "success" || node.kind === "choice");
}

/** How high a node is drawn, in canvas units. */
export function nodeHeight(node: FlowNode): number {
  const rows = portRows(node).length + (node.kind === "choice" ? 1 : 0);
  return HEADER + (rows > 0 ? rows * ROW + FOOT : 0);
}

/**
 * Where a node's connections start and end. The canvas would find out by drawing each node once; telling it lets it draw
 * what is in view alone.
 */
export function handlesOf(node: FlowNode): NodeHandle[] {
  const point = (id: string, type: "source" | "target", position: Position, x: number, y: number): NodeHandle => ({
    id,
    type,
    position,
    x: x - HANDLE / 2,
    y: y - HANDLE / 2,
    width: HANDLE,
    height: HANDLE,
  });
  const trigger = isTrigger(node);
  const middle = 31;
  const right = (id: string, y: number) => point(id, "source", Position.Right, NODE_WIDTH, y);
  const rows = portRows(node).map((output, at) => right(output.port, ROWS + at * ROW + ROW / 2));
  return [
    ...(!trigger || node.inlet ? [point("in", "target", Position.Left, 0, middle)] : []),
    ...(node.kind === "choice" ? [] : [right(trigger ? "out" : "success", middle)]),
    ...rows,
    ...(node.kind === "choice" ? [right("new-rule", ROWS + rows.length * ROW + ROW / 2)] : []),
    ...(node.inEvent === undefined
      ? []
      : [point("error", "source", Position.Bottom, NODE_WIDTH - 23, nodeHeight(node))]),
  ];
}

/** Positions for all nodes, left to right along the edges. */
export function arrange(flow: Pick<Flow, "nodes" | "edges">): Map<string, Point> {
  const graph = new Graph();
  graph.setGraph({ rankdir: "LR", nodesep: 44, ranksep: 96, marginx: 40, marginy: 40 });
  graph.setDefaultEdgeLabel(() => ({}));
  for (const node of flow.nodes) graph.setNode(nodeId(node), { width: NODE_WIDTH, height: nodeHeight(node) });
  for (const edge of flow.edges) {
    const [source, target] = [endOf(edge, "source"), endOf(edge, "target")];
    if (graph.hasNode(source) && graph.hasNode(target)) graph.setEdge(source, target);
  }
  layout(graph);
  const places = new Map<string, Point>();
  for (const node of flow.nodes) {
    const placed = graph.node(nodeId(node));
    // dagre tells centres.
    places.set(nodeId(node), {
      x: Math.round(placed.x - NODE_WIDTH / 2),
      y: Math.round(placed.y - nodeHeight(node) / 2),
    });
  }
  return places;
}

/** Positions of all nodes: the document's where it has them, else a layout, put below what is placed. */
export function places(flow: Pick<Flow, "nodes" | "edges">): Map<string, Point> {
  const missing = flow.nodes.filter((node) => node.position === null);
  const found = new Map<string, Point>();
  for (const node of flow.nodes) if (node.position) found.set(nodeId(node), node.position);
  if (missing.length === 0) return found;
  const names = new Set(missing.map(nodeId));
  const edges = flow.edges.filter((edge) => names.has(endOf(edge, "source")) && names.has(endOf(edge, "target")));
  const laid = arrange({ nodes: missing, edges });
  let shift: Point = { x: 0, y: 0 };
  if (found.size > 0) {
    const placed = flow.nodes.filter((node) => node.position);
    const left = Math.min(...placed.map((node) => node.position?.x ?? 0));
    const bottom = Math.max(...placed.map((node) => (node.position?.y ?? 0) + nodeHeight(node)));
    const top = Math.min(...[...laid.values()].map((point) => point.y));
    const leftmost = Math.min(...[...laid.values()].map((point) => point.x));
    shift = { x: left - leftmost, y: bottom + MARGIN - top };
  }
  for (const [name, point] of laid) found.set(name, { x: point.x + shift.x, y: point.y + shift.y });
  return found;
}

/** Where a node added without a place goes: right of `after`, or right of everything, on a free spot. */
export function freeSpot(at: ReadonlyMap<string, Point>, after: string | null): Point {
  const all = [...at.values()];
  if (all.length === 0) return { x: 40, y: 40 };
  const from = (after !== null && at.get(after)) || all.reduce((one, other) => (other.x > one.x ? other : one));
  const spot = { x: from.x + NODE_WIDTH + MARGIN, y: from.y };
  const taken = (point: Point) =>
    all.some((other) => Math.abs(other.x - point.x) < NODE_WIDTH && Math.abs(other.y - point.y) < HEADER + 40);
  while (taken(spot)) spot.y += HEADER + 60;
  return spot;
}
