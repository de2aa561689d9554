// What the workbench draws and edits: a flow, a system, or a deployment. Each says how its nodes become edits.
import type { Drawing, DrawnDeployment, Edit, Flow, FlowNode, Point, System, Where } from "./drawing.ts";
import { isTrigger } from "./drawing.ts";
import { newNode, type PaletteEntry } from "./palette.ts";
import { boundThing, readCondition, writeAction, writeCondition } from "./trigger-text.ts";

export type DeskKind = "flow" | "system" | "deployment";

export interface Desk {
  readonly kind: DeskKind;
  /** What is drawn: the wanted one, else the first of the text. */
  subject: (drawing: Drawing | null, wanted: string | null) => Flow | null;
  where: (key: string) => Where;
  /** How a palette entry comes onto the drawing; null when it cannot. */
  add: (key: string, subject: Flow, entry: PaletteEntry, at: Point) => Edit | null;
  connect: (key: string, subject: Flow, source: FlowNode, target: FlowNode, port: string | null) => Edit | null;
  remove: (key: string, node: FlowNode) => Edit;
  /** Ids of the palette's groups that fit. */
  readonly palette: ReadonlySet<PaletteEntry["kind"]>;
  readonly words: { readonly text: string; readonly empty: string; readonly hint: string; readonly broken: string };
}

function pick<Definition extends { readonly urn: string | null; readonly name: string }>(
  all: readonly Definition[],
  wanted: string | null,
): Definition | null {
  return all.find((one) => (one.urn ?? one.name) === wanted) ?? all[0] ?? null;
}

/** Moves a node; null when the document keeps no place for it. */
export function moveEdit(desk: Desk, key: string, node: FlowNode, at: Point): Edit | null {
  if (node.readOnly || node.fixed === true) return null;
  const where = desk.where(key);
  return isTrigger(node)
    ? { op: "move", trigger: node.name, ...at, ...where }
    : { op: "move", node: node.name, ...at, ...where };
}

function addTrigger(
  where: Where,
  subject: Flow,
  entry: PaletteEntry,
  position: Point,
  actions: readonly string[],
): Edit {
  const taken = new Set(subject.nodes.filter(isTrigger).map((node) => node.name.toLowerCase()));
  const stem = entry.kind === "clock" ? "Clock" : "Event";
  let name = stem;
  for (let number = 2; taken.has(name.toLowerCase()); number += 1) name = `${stem}${number}`;
  const teller = subject.nodes.find((node) => (node.events?.length ?? 0) > 0 && node.kind === "device");
  const condition =
    entry.kind === "clock"
      ? writeCondition({ kind: "clock", every: 1, unit: "hour" })
      : writeCondition({ kind: "event", role: teller?.name ?? "", event: teller?.events?.[0] ?? "", when: "" });
  return { op: "add-trigger", trigger: { name, condition, actions, position }, ...where };
}

export const FLOW_DESK: Desk = {
  kind: "flow",
  subject: (drawing, wanted) => pick(drawing?.flows ?? [], wanted),
  where: (flow) => ({ flow }),
  add: (flow, subject, entry, at) =>
    isTrigger(entry as Pick<FlowNode, "kind">)
      ? addTrigger({ flow }, subject, entry, at, [])
      : { op: "add-node", flow, node: newNode(entry, at, subject) },
  connect: (flow, _, source, target, port) =>
    isTrigger(source) || isTrigger(target)
      ? null
      : { op: "connect", flow, source: source.name, target: target.name, ...(port === null ? {} : { port }) },
  remove: (flow, node) =>
    isTrigger(node) ? { op: "remove-trigger", flow, trigger: node.name } : { op: "remove-node", flow, node: node.name },
  palette: new Set<PaletteEntry["kind"]>(["choice", "device", "service", "clock", "event"]),
  words: {
    text: "TDM text of the flow",
    empty: "An empty flow",
    hint: "Drag a device or service from the left, or press / to find one and Enter to add it. The first step runs when the flow starts.",
    broken: "The text has no definition with @workflowType, or its id cannot be read. The problems below tell more.",
  },
};

// A drawing is made once per answer of the service, so what is derived from it is kept beside it.
const boards = new WeakMap<System, Flow>();

/** A system or deployment in the shape of a flow, for the same canvas. */
function board(system: System, change: (node: FlowNode) => FlowNode): Flow {
  const kept = boards.get(system);
  if (kept) return kept;
  const made: Flow = {
    urn: system.urn,
    name: system.name,
    description: system.description,
    parameters: [],
    variables: [],
    events: [],
    nodes: system.nodes.map((node) => change({ ...node, readOnly: node.readOnly ?? false, outputs: [] })),
    edges: system.edges ?? [],
    derived: true,
    from: system.from,
    to: system.to,
  };
  boards.set(system, made);
  return made;
}

export const SYSTEM_DESK: Desk = {
  kind: "system",
  subject: (drawing, wanted) => {
    const system = pick(drawing?.systems ?? [], wanted);
    return system && board(system, (node) => node);
  },
  where: (system) => ({ system }),
  add: (system, _, entry, position) =>
    entry.urn !== null && ["device", "service", "flow", "system"].includes(entry.kind)
      ? { op: "add-node", system, node: { kind: entry.kind as "device", urn: entry.urn, position } }
      : null,
  connect: () => null,
  remove: (system, node) => ({ op: "remove-node", system, node: node.name }),
  palette: new Set<PaletteEntry["kind"]>(["device", "service", "flow", "system"]),
  words: {
    text: "TDM text of the system",
    empty: "An empty system",
    hint: "A system names the devices of a place and the flows that run there. Drag them from the left, or press / to find one and Enter to add it.",
    broken: "The text has no definition with @systemType, or its id cannot be read. The problems below tell more.",
  },
};

/** The action that starts a flow role with the things of the roles its parameters are named after. */
export function startAction(flow: FlowNode, subject: Flow): string {
  const values = (flow.parameters ?? []).map((parameter) => {
    const role = subject.nodes.find(
      (node) => node.kind === "device" && node.name.toLowerCase() === parameter.name.toLowerCase(),
    );
    return role ? boundThing(role.name) : "";
  });
  return writeAction(flow.name, values);
}

export const DEPLOYMENT_DESK: Desk = {
  kind: "deployment",
  subject: (drawing, wanted) => {
    const deployment = pick<DrawnDeployment>(drawing?.deployments ?? [], wanted);
    const bound = (node: FlowNode) => node.kind === "device" && node.thing !== null;
    return (
      deployment &&
      board(deployment, (node) => ({
        ...node,
        inlet: node.kind === "event",
        fixed: !bound(node) && !isTrigger(node),
      }))
    );
  },
  where: (deployment) => ({ deployment }),
  add: (deployment, subject, entry, at) => {
    const flow = subject.nodes.find((node) => node.kind === "flow");
    const actions = flow ? [startAction(flow, subject)] : [];
    return isTrigger(entry as Pick<FlowNode, "kind">) ? addTrigger({ deployment }, subject, entry, at, actions) : null;
  },
  connect: (deployment, subject, source, target) => {
    if (isTrigger(source) && target.kind === "flow") {
      const known = (source.starts ?? []).map((start) => start.expr);
      const starts = (source.starts ?? []).some((one) => one.flow?.toLowerCase() === target.name.toLowerCase());
      return starts
        ? null
        : { op: "set-trigger", deployment, trigger: source.name, actions: [...known, startAction(target, subject)] };
    }
    if (source.kind === "device" && target.kind === "event" && source.events?.[0]) {
      const now = readCondition(target.condition ?? "");
      const when = now?.kind === "event" ? now.when : "";
      const condition = writeCondition({ kind: "event", role: source.name, event: source.events[0], when });
      return { op: "set-trigger", deployment, trigger: target.name, condition };
    }
    return null;
  },
  remove: (deployment, node) =>
    isTrigger(node)
      ? { op: "remove-trigger", deployment, trigger: node.name }
      : { op: "unbind", deployment, role: node.name },
  palette: new Set<PaletteEntry["kind"]>(["clock", "event"]),
  words: {
    text: "TDM text of the deployment",
    empty: "An empty deployment",
    hint: "Its system has no roles yet.",
    broken: "The text has no definition with @deployment, or its id cannot be read. The problems below tell more.",
  },
};
