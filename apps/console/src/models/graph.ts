// The picture of a capability: the entity in the middle, what it is made of around it, laid out in columns.

import type { Entity, Member } from "./entity.ts";
import { metatypeOf, urnKey, urnName } from "./urn.ts";

export interface GraphNode {
  readonly id: string;
  readonly title: string;
  readonly role: string;
  readonly kind: "capability" | "state" | "event" | "action" | "property" | "model" | "device" | "service" | "other";
  readonly urn: string;
  readonly lines: readonly string[];
  readonly x: number;
  readonly y: number;
}

export interface GraphEdge {
  readonly id: string;
  readonly source: string;
  readonly target: string;
  readonly label: string;
}

export interface Graph {
  readonly nodes: readonly GraphNode[];
  readonly edges: readonly GraphEdge[];
}

const COLUMN = 320;
const HEADER = 56;
const LINE = 20;
const GAP = 24;

/** How high a node is drawn. */
export function nodeHeight(lines: number): number {
  return HEADER + lines * LINE + (lines > 0 ? 12 : 0);
}

function shown(field: Member): string {
  const type = urnName(field.urn);
  return `${field.name}: ${field.list ? `[${type}]` : type}${field.required ? "!" : ""}`;
}

function details(entity: Entity | undefined): string[] {
  if (!entity) return [];
  if (entity.metatype === "Action") {
    return [...entity.fields.map(shown), ...(entity.returns ? [`→ ${urnName(entity.returns.urn)}`] : ["→ nothing"])];
  }
  if (entity.metatype === "State") return entity.fields.map(shown);
  return entity.facets
    .filter((facet) => facet.name.toLowerCase() !== "name")
    .map((facet) => `${facet.name}: ${urnName(facet.value)}`);
}

/** Draws `capability` with its members; `known` holds entities by lower-cased URN. */
export function capabilityGraph(capability: Entity, known: ReadonlyMap<string, Entity>): Graph {
  const nodes: GraphNode[] = [];
  const edges: GraphEdge[] = [];
  const columns = [0, 0];
  const put = (
    id: string,
    title: string,
    role: string,
    kind: GraphNode["kind"],
    urn: string,
    column: number,
    from: string,
    label: string,
  ) => {
    const lines = details(known.get(urnKey(urn)));
    const y = columns[column - 1] ?? 0;
    columns[column - 1] = y + nodeHeight(lines.length) + GAP;
    nodes.push({ id, title, role, kind, urn, lines, x: column * COLUMN, y });
    edges.push({ id: `${from}>${id}`, source: from, target: id, label });
  };
  if (capability.state)
    put(
      "state",
      urnName(capability.state.urn),
      "state",
      "state",
      capability.state.urn,
      1,
      "root",
      capability.state.name,
    );
  for (const event of capability.events) {
    const id = `event:${event.name}`;
    put(id, event.name, "event", "event", event.urn, 1, "root", "");
    const payload = known.get(urnKey(event.urn))?.facets.find((facet) => facet.name.toLowerCase() === "payload")?.value;
    if (payload) put(`${id}:payload`, urnName(payload), "payload", "property", payload, 2, id, "carries");
  }
  for (const action of capability.actions)
    put(`action:${action.name}`, action.name, "action", "action", action.urn, 1, "root", "");
  const middle = Math.max(0, ((columns[0] ?? 0) - GAP - nodeHeight(0)) / 2);
  nodes.unshift({
    id: "root",
    title: urnName(capability.id),
    role: "capability",
    kind: "capability",
    urn: capability.id,
    lines: [],
    x: 0,
    y: middle,
  });
  return { nodes, edges };
}

/** The capability an entity offers, followed through its model when need be. */
export function capabilityOf(entity: Entity, known: ReadonlyMap<string, Entity>): string | null {
  if (metatypeOf(entity.id) === "Capability") return entity.id;
  if (entity.capability) return entity.capability;
  const model = entity.model && known.get(urnKey(entity.model));
  return (model ? model.capability : undefined) ?? null;
}
