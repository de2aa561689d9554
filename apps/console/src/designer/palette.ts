// What can be put on the canvas, and how it is found.
import type { Entity } from "../models/entity.ts";
import { isPublic, parseUrn, urnKey, urnName } from "../models/urn.ts";
import { type Flow, isTrigger, type NewNode, type NodeKind, type Point } from "./drawing.ts";

export interface PaletteEntry {
  readonly id: string;
  readonly kind: Exclude<NodeKind, "unknown" | "value">;
  readonly title: string;
  /** Where it comes from: `library` or the account's own namespace. */
  readonly from: "built in" | "yours" | "library";
  readonly group: string;
  readonly urn: string | null;
  readonly actions: readonly string[];
  readonly description: string;
}

/** Groups in the order they are shown. */
const GROUPS = ["Logic", "Triggers", "Flows", "Devices", "Products", "Services", "Systems"];

const CHOICE: PaletteEntry = {
  id: "choice",
  kind: "choice",
  title: "Choice",
  from: "built in",
  group: "Logic",
  urn: null,
  actions: [],
  description: "goes one way or another, by rules",
};

const TRIGGERS: readonly PaletteEntry[] = [
  {
    ...CHOICE,
    id: "clock",
    kind: "clock",
    title: "Clock",
    group: "Triggers",
    description: "starts the flow every so often",
  },
  {
    ...CHOICE,
    id: "event",
    kind: "event",
    title: "Device event",
    group: "Triggers",
    description: "starts the flow when a device tells something",
  },
];

/** Flows and systems of the account as entries. */
export function templatesOf(kind: "flow" | "system", urns: readonly string[]): PaletteEntry[] {
  const group = kind === "flow" ? "Flows" : "Systems";
  const one = (urn: string): PaletteEntry => ({
    id: urnKey(urn),
    kind,
    title: urnName(urn),
    from: isPublic(urn) ? "library" : "yours",
    group,
    urn,
    actions: [],
    description: "",
  });
  return urns.map(one).sort((first, other) => first.title.localeCompare(other.title));
}

/** Entries of the palette: logic, then models with actions, then services; own ones before the library's. */
export function paletteOf(all: readonly Entity[]): PaletteEntry[] {
  const capabilities = new Map(all.filter((one) => one.metatype === "Capability").map((one) => [urnKey(one.id), one]));
  const entries = all.flatMap((one): PaletteEntry[] => {
    if (one.metatype !== "DeviceModel" && one.metatype !== "Device" && one.metatype !== "Service") return [];
    const isDevice = one.metatype === "Device";
    const offered = one.capability ? capabilities.get(urnKey(one.capability))?.actions : undefined;
    const actions = (one.metatype === "Service" ? one.actions : (offered ?? [])).map((action) => action.name);
    return [
      {
        id: urnKey(one.id),
        kind: one.metatype === "Service" ? "service" : "device",
        title: urnName(one.id),
        from: isPublic(one.id) ? "library" : "yours",
        group: one.metatype === "Service" ? "Services" : isDevice ? "Products" : "Devices",
        urn: one.id,
        actions,
        description: one.description || (parseUrn(one.id)?.namespace ?? ""),
      },
    ];
  });
  const rank = (entry: PaletteEntry) => (entry.from === "yours" ? 0 : 1);
  entries.sort(
    (one, other) =>
      GROUPS.indexOf(one.group) - GROUPS.indexOf(other.group) ||
      rank(one) - rank(other) ||
      one.title.localeCompare(other.title),
  );
  return [CHOICE, ...TRIGGERS, ...entries];
}

/** Entries that contain every word of the search, in title, actions or description; title matches first. */
export function search(entries: readonly PaletteEntry[], query: string): PaletteEntry[] {
  const words = query.toLowerCase().split(/\s+/).filter(Boolean);
  if (words.length === 0) return [...entries];
  const scored = entries.flatMap((entry) => {
    const title = entry.title.toLowerCase();
    const rest = `${entry.actions.join(" ")} ${entry.description} ${entry.group}`.toLowerCase();
    if (!words.every((word) => title.includes(word) || rest.includes(word))) return [];
    const score = words.reduce((sum, word) => sum + (title.startsWith(word) ? 3 : title.includes(word) ? 2 : 0), 0);
    return [{ entry, score }];
  });
  return scored.sort((one, other) => other.score - one.score).map(({ entry }) => entry);
}

/** The step a palette entry becomes. The first step of a flow runs at its start. */
export function newNode(entry: PaletteEntry, position: Point, flow: Pick<Flow, "nodes">): NewNode {
  const first = flow.nodes.every(isTrigger);
  return {
    kind: entry.kind as NewNode["kind"],
    ...(entry.urn ? { urn: entry.urn } : {}),
    ...(entry.actions[0] ? { action: entry.actions[0] } : {}),
    position,
    ...(first ? { start: true } : {}),
  };
}
