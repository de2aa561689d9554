// TDM URNs (things-graph.md 1.1, 1.2): taking them apart, comparing and naming them.

export const METATYPES = [
  "Property",
  "Enum",
  "State",
  "Event",
  "Action",
  "Capability",
  "Mapping",
  "DeviceModel",
  "Device",
  "Service",
  "Workflow",
  "System",
  "Deployment",
] as const;
export type Metatype = (typeof METATYPES)[number];

export interface Urn {
  readonly namespace: string;
  readonly metatype: string;
  readonly path: string;
}

const SHAPE = /^urn:tdm:([^:]+):([A-Za-z]*):([A-Za-z0-9_]+(?:\/[A-Za-z0-9_]+)*)$/i;

/** The parts of a URN, or null when it is none. */
export function parseUrn(urn: string): Urn | null {
  const parts = SHAPE.exec(urn);
  return parts ? { namespace: parts[1] ?? "", metatype: parts[2] ?? "", path: parts[3] ?? "" } : null;
}

/** Key for comparison: URNs are case-insensitive as a whole. */
export function urnKey(urn: string): string {
  return urn.toLowerCase();
}

export function sameUrn(one: string, other: string): boolean {
  return urnKey(one) === urnKey(other);
}

/** What people call it: the path of the URN, or the text itself. */
export function urnName(urn: string): string {
  return parseUrn(urn)?.path ?? urn;
}

/** True for entities of the library everybody may read. */
export function isPublic(urn: string): boolean {
  const namespace = parseUrn(urn)?.namespace.toLowerCase() ?? "";
  return namespace === "aws" || namespace.startsWith("aws/");
}

/** Canonical metatype of a URN, whatever its spelling. */
export function metatypeOf(urn: string): Metatype | null {
  const found = parseUrn(urn)?.metatype.toLowerCase();
  if (found === "flow") return "Workflow";
  return METATYPES.find((metatype) => metatype.toLowerCase() === found) ?? null;
}

/** `NAMESPACE:Metatype:path` as a URN. */
export function makeUrn(namespace: string, metatype: Metatype, path: string): string {
  return `urn:tdm:${namespace}:${metatype}:${path}`;
}

/** The private namespace of an account in a region. */
export function privateNamespace(region: string, account: string): string {
  return `${region}/${account}/default`;
}

/** A name for URNs and definitions made of what somebody typed: letters, digits and underscores; empty when nothing is left. */
export function toName(typed: string): string {
  const words = typed
    .normalize("NFKD")
    .replace(/\p{M}/gu, "")
    .split(/[^A-Za-z0-9_]+/)
    .filter(Boolean);
  const joined = words
    .map((word, index) => (index === 0 ? word : word.charAt(0).toUpperCase() + word.slice(1)))
    .join("");
  return /^[0-9]/.test(joined) ? `_${joined}` : joined;
}
