// What an entity's definition says, as the pages show it: members of a capability, inputs of an action, fields of a state.

import { argument, child, type Definition, directive, type Node, parse, text, texts } from "../tdm-editor/parse.ts";
import { type Metatype, metatypeOf, sameUrn, urnKey } from "./urn.ts";

/** A named reference to another entity, with the line that declares it. */
export interface Member {
  readonly name: string;
  readonly urn: string;
  readonly list: boolean;
  readonly required: boolean;
}

export interface Entity {
  readonly id: string;
  readonly metatype: Metatype;
  readonly name: string;
  readonly description: string;
  /** Inputs of an action (without `return`), fields of a state. */
  readonly fields: readonly Member[];
  readonly returns?: Member;
  readonly state?: Member;
  readonly actions: readonly Member[];
  readonly events: readonly Member[];
  readonly values: readonly { readonly name: string; readonly value: number }[];
  /** Data type, payload, model or capability it is made with. */
  readonly facets: readonly { readonly name: string; readonly value: string }[];
  readonly capability?: string;
  readonly model?: string;
  readonly protocol?: string;
  readonly parents: readonly string[];
  readonly definition: Definition;
}

const DEFINING: Readonly<Record<string, Metatype>> = {
  propertytype: "Property",
  enumtype: "Enum",
  statetype: "State",
  eventtype: "Event",
  actiontype: "Action",
  capabilitytype: "Capability",
  mapping: "Mapping",
  devicemodel: "DeviceModel",
  device: "Device",
  service: "Service",
  workflowtype: "Workflow",
  systemtype: "System",
  deployment: "Deployment",
};

function member(node: Node, usage: string): Member | null {
  const found = directive(node.directives, usage);
  const urn = found && text(found.args, "id");
  if (!urn) return null;
  const type = node.type ?? "";
  return { name: node.name, urn, list: type.startsWith("["), required: type.endsWith("!") };
}

function members(definition: Definition, usage: string): Member[] {
  return definition.body.flatMap((node) => member(node, usage) ?? []);
}

/** The entity a definition makes, or null when it makes none. */
export function entity(definition: Definition): Entity | null {
  const made = definition.directives.find((entry) => DEFINING[entry.name.toLowerCase()]);
  const metatype = made && DEFINING[made.name.toLowerCase()];
  const id = made && texts(made.args, "id")[0];
  if (!made || !metatype || !id) return null;
  const properties = members(definition, "property");
  const returns = properties.find((field) => field.name.toLowerCase() === "return");
  const state = members(definition, "state")[0];
  const capability = text(made.args, "capability");
  const model = text(made.args, "deviceModel");
  const protocol = metatype === "Device" || metatype === "Service" ? definition.body[0] : undefined;
  const block = protocol?.children[0];
  const offered = capability ?? (block ? text(block.args, "id") : undefined);
  let next = -1;
  const values =
    metatype !== "Enum"
      ? []
      : definition.body.map((node) => {
          const given = directive(node.directives, "enumValue");
          next = given ? Number(text(given.args, "value") ?? next + 1) : next + 1;
          return { name: node.name, value: next };
        });
  const facets = made.args.flatMap((entry) => {
    if (entry.name.toLowerCase() === "id" || entry.name.toLowerCase() === "description") return [];
    return "text" in entry.value ? [{ name: entry.name, value: entry.value.text }] : [];
  });
  return {
    id,
    metatype,
    name: definition.name,
    description: text(made.args, "description") ?? "",
    fields: properties.filter((field) => field !== returns),
    ...(returns ? { returns } : {}),
    ...(state ? { state } : {}),
    actions: metatype === "Capability" ? members(definition, "action") : blocks(block, "Action"),
    events: metatype === "Capability" ? members(definition, "event") : blocks(block, "Event"),
    values,
    facets,
    ...(offered ? { capability: offered } : {}),
    ...(model ? { model } : {}),
    ...(protocol ? { protocol: protocol.name } : {}),
    parents: definition.parents,
    definition,
  };
}

function blocks(block: Node | undefined, kind: string): Member[] {
  const wanted = kind.toLowerCase();
  return (block?.children ?? []).flatMap((node) => {
    const name = node.name.toLowerCase() === wanted ? text(node.args, "name") : undefined;
    return name ? [{ name, urn: "", list: false, required: false }] : [];
  });
}

/** The entities of a document. */
export function entities(source: string): Entity[] {
  return parse(source).flatMap((definition) => entity(definition) ?? []);
}

/** What a device or service does on the wire for one action or event. */
export interface WireLine {
  readonly member: string;
  readonly kind: "action" | "event";
  readonly operation: string;
  readonly target: string;
  readonly answer: string;
}

/** Topics, addresses and URLs of a device or service. */
export function wire(of: Entity): WireLine[] {
  const block = of.definition.body[0]?.children[0];
  return (block?.children ?? []).flatMap((node): WireLine[] => {
    const kind = node.name.toLowerCase();
    const name = text(node.args, "name");
    if (!name || (kind !== "action" && kind !== "event")) return [];
    if (kind === "event") {
      const subscribe = child(node.children, "Subscribe");
      return [
        {
          member: name,
          kind,
          operation: "Subscribe",
          target: subscribe ? (text(subscribe.args, "topic") ?? "") : "",
          answer: "",
        },
      ];
    }
    const operation = node.children.find((entry) => entry.name.toLowerCase() !== "params");
    const request = operation && child(operation.children, "Request");
    const response = operation && child(operation.children, "Response");
    const target =
      ["topic", "url", "arn", "Address"].flatMap((key) => (request && text(request.args, key)) ?? [])[0] ?? "";
    return [
      {
        member: name,
        kind,
        operation: operation?.name ?? "",
        target,
        answer: response ? (text(response.args, "topic") ?? "answers") : "",
      },
    ];
  });
}

/** URNs a definition refers to, each once. */
export function references(of: Entity): string[] {
  const found = new Map<string, string>();
  const add = (urn: string) => {
    if (/^urn:tdm:/i.test(urn) && !sameUrn(urn, of.id)) found.set(urnKey(urn), urn);
  };
  const visit = (node: Node) => {
    for (const entry of node.args) if ("text" in entry.value) add(entry.value.text);
    for (const used of node.directives) for (const entry of used.args) if ("text" in entry.value) add(entry.value.text);
    node.children.forEach(visit);
  };
  for (const used of of.definition.directives) {
    for (const entry of used.args) {
      const value = argument(used.args, entry.name);
      if (value && "text" in value) add(value.text);
    }
  }
  of.parents.forEach(add);
  of.definition.body.forEach(visit);
  return [...found.values()].filter((urn) => metatypeOf(urn) !== null);
}
