// From the drawing to what React Flow draws; what did not change keeps its object, so that it is not drawn again.
import { MarkerType } from "@xyflow/react";
import type { Diagnostic } from "../tdm-editor/service.ts";
import { endOf, type Flow, type FlowEdge, type FlowNode, isTrigger, nodeId, type Point } from "./drawing.ts";
import type { EventEdgeType } from "./event-edge.tsx";
import { EDGE_WORDS, spoken } from "./kinds.tsx";
import { handlesOf, NODE_WIDTH, nodeHeight, places } from "./layout.ts";
import type { StepNodeType } from "./step-node.tsx";

/** Members that every edit before a node shifts, or that are compared apart. */
const PLACES = new Set(["from", "to", "nameFrom", "nameTo", "position", "problems"]);

/** Whether two drawings say the same, wherever it stands in the text. */
export function sameDrawing(one: unknown, other: unknown): boolean {
  if (one === other) return true;
  if (typeof one !== "object" || typeof other !== "object" || one === null || other === null) return false;
  if (Array.isArray(one)) {
    if (!Array.isArray(other) || one.length !== other.length) return false;
    return one.every((item, index) => sameDrawing(item, other[index]));
  }
  const [left, right] = [one as Record<string, unknown>, other as Record<string, unknown>];
  const names = Object.keys(left);
  if (names.length !== Object.keys(right).length) return false;
  return names.every((name) => PLACES.has(name) || sameDrawing(left[name], right[name]));
}

function counts(node: FlowNode, diagnostics: readonly Diagnostic[]): { errors: number; warnings: number } {
  const errors = node.problems.filter((index) => diagnostics[index]?.severity === "error").length;
  return { errors, warnings: node.problems.length - errors };
}

/** Nodes of a flow; `before` are those on the canvas, `selected` the names to select (null: as they are). */
export function canvasNodes(
  flow: Flow,
  diagnostics: readonly Diagnostic[],
  before: readonly StepNodeType[],
  selected: ReadonlySet<string> | null,
): StepNodeType[] {
  const old = new Map(before.map((node) => [node.id, node]));
  const unplaced = flow.nodes.some((node) => node.position === null && !old.has(nodeId(node)));
  const at = unplaced ? places(flow) : new Map<string, Point>();
  return flow.nodes.map((node) => {
    const id = nodeId(node);
    const kept = old.get(id);
    const position = node.position ?? kept?.position ?? at.get(id) ?? { x: 0, y: 0 };
    const { errors, warnings } = counts(node, diagnostics);
    const isSelected = selected ? selected.has(id) : (kept?.selected ?? false);
    const same =
      kept &&
      sameDrawing(kept.data.node, node) &&
      kept.data.errors === errors &&
      kept.data.warnings === warnings &&
      kept.position.x === position.x &&
      kept.position.y === position.y &&
      (kept.selected ?? false) === isSelected;
    if (same) return kept;
    const height = nodeHeight(node);
    return {
      // Known beforehand, as the handles are: nothing has to be drawn to be measured.
      measured: { width: NODE_WIDTH, height },
      id,
      type: "step",
      position,
      data: { node, errors, warnings },
      selected: isSelected,
      draggable: !node.readOnly && node.fixed !== true,
      deletable: !node.readOnly && !(node.fixed === true && !isTrigger(node)),
      handles: handlesOf(node),
      ariaLabel: spoken(node),
    } satisfies StepNodeType;
  });
}

const COLOURS: Readonly<Record<FlowEdge["kind"], string>> = {
  success: "var(--edge-success)",
  choice: "var(--edge-choice)",
  error: "var(--edge-error)",
  check: "var(--edge-check)",
  triggers: "var(--edge-triggers)",
  uses: "var(--edge-uses)",
  listens: "var(--edge-triggers)",
};

/** The handle an edge leaves from. */
function outlet(edge: FlowEdge): string {
  if (edge.kind === "triggers") return "out";
  return edge.kind === "uses" || edge.kind === "listens" ? "success" : edge.port;
}

/** Connections of a flow. */
export function canvasEdges(flow: Flow, before: readonly EventEdgeType[]): EventEdgeType[] {
  const old = new Map(before.map((edge) => [edge.id, edge]));
  return flow.edges.map((edge) => {
    const kept = old.get(edge.id);
    if (kept && kept.data?.edge.condition === edge.condition && kept.data.edge.label === edge.label) return kept;
    const on = edge.event ? ` on ${edge.event}` : "";
    return {
      id: edge.id,
      type: "event",
      source: endOf(edge, "source"),
      target: endOf(edge, "target"),
      sourceHandle: outlet(edge),
      targetHandle: "in",
      data: { edge },
      selected: kept?.selected ?? false,
      deletable: flow.derived === true ? false : edge.kind !== "triggers",
      markerEnd: {
        type: MarkerType.ArrowClosed,
        color: COLOURS[edge.kind],
        width: 18,
        height: 18,
        markerUnits: "userSpaceOnUse",
      },
      ariaLabel: `From “${edge.source}” to “${edge.target}”${on}, ${EDGE_WORDS[edge.kind]}`,
    } satisfies EventEdgeType;
  });
}
