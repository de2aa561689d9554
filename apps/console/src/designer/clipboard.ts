// Copy and paste of steps, within a flow, between flows and between windows, as edits of the drawing model.
import type { Edit, Flow, FlowNode, NewNode, Point, Scalar } from "./drawing.ts";

/** What lies on the clipboard: JSON with this mark, so that foreign text is never taken for steps. */
const MARK = "marram-steps-1";
const MAX_STEPS = 500;
/** How far a copy stands from its original. */
const OFFSET = 40;

interface CopiedNode extends NewNode {
  readonly name: string;
  readonly retries: NonNullable<FlowNode["onError"]>["retries"];
  readonly catches: NonNullable<FlowNode["onError"]>["catches"];
  readonly condition: string | null;
  readonly timeout: string | null;
}

interface CopiedEdge {
  readonly source: string;
  readonly target: string;
  readonly port: string;
  readonly condition: string | null;
}

export interface Copied {
  readonly mark: typeof MARK;
  readonly nodes: readonly CopiedNode[];
  readonly edges: readonly CopiedEdge[];
}

/** The chosen steps of a flow; null when none of them can be copied. */
export function copy(flow: Flow, names: ReadonlySet<string>, at: ReadonlyMap<string, Point>): Copied | null {
  const nodes = flow.nodes.filter(
    (node) => names.has(node.name) && (node.kind === "device" || node.kind === "service" || node.kind === "choice"),
  );
  if (nodes.length === 0) return null;
  const chosen = new Set(nodes.map((node) => node.name));
  return {
    mark: MARK,
    nodes: nodes.map((node) => copiedNode(node, at.get(node.name))),
    edges: flow.edges
      .filter((edge) => chosen.has(edge.source) && chosen.has(edge.target))
      .map(({ source, target, port, condition }) => ({ source, target, port, condition })),
  };
}

function copiedNode(node: FlowNode, position: Point | undefined): CopiedNode {
  const given: Record<string, Scalar> = {};
  for (const argument of node.arguments ?? []) if (argument.value !== null) given[argument.name] = argument.value;
  return {
    name: node.name,
    kind: node.kind as NewNode["kind"],
    ...(node.urn ? { urn: node.urn } : {}),
    ...(node.action ? { action: node.action } : {}),
    ...(Object.keys(given).length > 0 ? { arguments: given } : {}),
    ...(typeof node.deviceId?.value === "string" ? { deviceId: node.deviceId.value } : {}),
    ...(node.out ? { out: node.out } : {}),
    ...(node.description ? { description: node.description } : {}),
    ...(position ? { position } : {}),
    start: node.start ?? false,
    retries: node.onError?.retries ?? [],
    catches: node.onError?.catches ?? [],
    condition: node.condition ?? null,
    timeout: node.timeout ?? null,
  };
}

/** What was copied, read from clipboard text; null when it is something else. */
export function read(text: string): Copied | null {
  if (!text.includes(MARK)) return null;
  try {
    const found = JSON.parse(text) as Partial<Copied> | null;
    if (found?.mark !== MARK || !Array.isArray(found.nodes) || !Array.isArray(found.edges)) return null;
    const isNode = (node: Partial<CopiedNode>) =>
      typeof node.name === "string" &&
      ["device", "service", "choice"].includes(String(node.kind)) &&
      Array.isArray(node.catches) &&
      Array.isArray(node.retries);
    return found.nodes.length <= MAX_STEPS && found.nodes.every(isNode) ? (found as Copied) : null;
  } catch {
    return null;
  }
}

/** `wanted`, or with a number behind it, so that it is not in `taken` (lower case); it is added there. */
export function freshName(wanted: string, taken: Set<string>): string {
  const stem = wanted.replace(/ \d+$/, "");
  let name = wanted;
  for (let number = 2; taken.has(name.toLowerCase()); number += 1) name = `${stem} ${number}`;
  taken.add(name.toLowerCase());
  return name;
}

/** The edits that paste into `flow`, and the names of the new steps. */
export function paste(
  copied: Copied,
  flow: Pick<Flow, "nodes">,
  flowName: string,
  at?: Point,
): { edits: Edit[]; names: string[] } {
  const taken = new Set(flow.nodes.map((node) => node.name.toLowerCase()));
  const renamed = new Map(copied.nodes.map((node) => [node.name, freshName(node.name, taken)]));
  const points = copied.nodes.flatMap((node) => node.position ?? []);
  const left = Math.min(...points.map((point) => point.x));
  const top = Math.min(...points.map((point) => point.y));
  const move = (point: Point): Point =>
    at ? { x: point.x - left + at.x, y: point.y - top + at.y } : { x: point.x + OFFSET, y: point.y + OFFSET };
  const edits: Edit[] = [];
  for (const node of copied.nodes) {
    const name = renamed.get(node.name) ?? node.name;
    const { retries, catches, condition, timeout, position, ...rest } = node;
    edits.push({
      op: "add-node",
      flow: flowName,
      node: { ...rest, name, ...(position ? { position: move(position) } : {}) },
    });
    if (condition) edits.push({ op: "set-field", flow: flowName, node: name, field: "condition", value: condition });
    if (timeout) edits.push({ op: "set-field", flow: flowName, node: name, field: "timeout", value: timeout });
    // The events of the original's catches belong to the original: copies raise what their own edges say.
    const own = catches.map((entry) => ({ ...entry, raiseEvent: [] }));
    if (retries.length + own.length > 0)
      edits.push({ op: "set-on-error", flow: flowName, node: name, retries, catches: own });
  }
  for (const edge of copied.edges) {
    const source = renamed.get(edge.source);
    const target = renamed.get(edge.target);
    if (!source || !target) continue;
    const rule = edge.port.startsWith("rule:") && edge.condition !== null ? { condition: edge.condition } : {};
    const port = edge.port.startsWith("rule:") ? {} : { port: edge.port };
    edits.push({ op: "connect", flow: flowName, source, target, ...port, ...rule });
  }
  return { edits, names: [...renamed.values()] };
}
