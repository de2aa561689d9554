// From a flow to a deployment: the system and deployment documents, and what a deployment newly allows.
import type { Entity, WireLine } from "../models/entity.ts";
import { wire } from "../models/entity.ts";
import { makeUrn, sameUrn, toName, urnKey, urnName } from "../models/urn.ts";
import { quote } from "../tdm-editor/lexer.ts";
import { child, directive, parse, text as textOf } from "../tdm-editor/parse.ts";
import { type Flow, type FlowNode, isTrigger } from "./drawing.ts";
import { boundThing, type ClockUnit, readCondition, writeAction, writeCondition } from "./trigger-text.ts";

/** A device slot of a system. */
export interface Role {
  readonly name: string;
  readonly urn: string;
  /** Parameter of the flow that takes the thing's name; null: used by triggers only. */
  readonly parameter: string | null;
}

/** The roles a flow needs: one per parameter that steps use as device id, else one per model. */
export function rolesOf(flow: Flow): Role[] {
  const roles = new Map<string, Role>();
  for (const node of flow.nodes) {
    if (node.kind !== "device" || !node.urn) continue;
    const given =
      typeof node.deviceId?.value === "string" ? /^\$\{?\s*\$?(\w+)\s*\}?$/.exec(node.deviceId.value)?.[1] : undefined;
    const parameter = flow.parameters.find((one) => one.name.toLowerCase() === given?.toLowerCase())?.name ?? null;
    const name = parameter ?? lowerFirst(toName(urnName(node.urn).split("/").at(-1) ?? "device"));
    const key = name.toLowerCase();
    if (!roles.has(key)) roles.set(key, { name, urn: node.urn, parameter });
  }
  return [...roles.values()];
}

const lowerFirst = (name: string) => name.charAt(0).toLowerCase() + name.slice(1);

/** A system document with these roles and one flow. */
export function writeSystem(
  namespace: string,
  name: string,
  description: string,
  roles: readonly Role[],
  flow: { urn: string; name: string },
): string {
  const told = description ? `\n  description: ${quote(description)}` : "";
  const width = (urn: string) => toName(urnName(urn).split("/").at(-1) ?? "Thing") || "Thing";
  const lines = roles.map((role) => `  ${role.name}: ${width(role.urn)} @thing(id: ${quote(role.urn)})`);
  lines.push(`  ${flow.name}: Flow @workflow(id: ${quote(flow.urn)})`);
  return `type ${name} @systemType(\n  id: ${quote(makeUrn(namespace, "System", name))}${told}\n) {\n${lines.join("\n")}\n}\n`;
}

export type TriggerForm =
  | {
      readonly kind: "clock";
      readonly name: string;
      readonly every: number;
      readonly unit: ClockUnit;
      readonly values: readonly string[];
    }
  | {
      readonly kind: "event";
      readonly name: string;
      readonly role: string;
      readonly event: string;
      readonly when: string;
      readonly values: readonly string[];
    };

/** The condition of a trigger as the deployment document writes it. A condition may start at `lastEvent`. */
export function triggerCondition(trigger: TriggerForm): string {
  return writeCondition(trigger);
}

/** How the action of a trigger starts the flow; `values` hold an expression per parameter, empty for what is left out. */
export const triggerAction = writeAction;

/** What a parameter gets by default: the thing bound to its role. */
export function defaultValues(
  flow: Pick<Flow, "parameters">,
  roles: readonly Pick<Role, "name" | "parameter">[],
): string[] {
  return flow.parameters.map((parameter) => {
    const role = roles.find((one) => (one.parameter ?? one.name).toLowerCase() === parameter.name.toLowerCase());
    return role ? boundThing(role.name) : "";
  });
}

/** The triggers stored with a flow, as a deployment proposes them; those that a form cannot show are left out. */
export function storedTriggers(flow: Flow, roles: readonly Role[]): TriggerForm[] {
  return flow.nodes.filter(isTrigger).flatMap((node: FlowNode): TriggerForm[] => {
    const condition = readCondition(node.condition ?? "");
    if (!condition) return [];
    const stored = node.starts?.[0]?.values ?? [];
    const defaults = defaultValues(flow, roles);
    const values = flow.parameters.map((_, at) => stored[at] ?? defaults[at] ?? "");
    if (condition.kind === "clock") return [{ ...condition, name: node.name, values }];
    // A role the system does not have yet is left for the person to choose.
    const role = roles.find((one) => one.name.toLowerCase() === condition.role.toLowerCase())?.name ?? "";
    return [{ ...condition, role, event: role === "" ? "" : condition.event, name: node.name, values }];
  });
}

export interface DeploymentForm {
  readonly name: string;
  readonly systemUrn: string;
  readonly bindings: readonly { readonly role: string; readonly thing: string }[];
  readonly triggers: readonly TriggerForm[];
  readonly flowRole: string;
}

/** The deployment document. */
export function writeDeployment(namespace: string, form: DeploymentForm): string {
  const lines = form.bindings.map(({ role, thing }) => `  ${role}(deviceId: ${quote(thing)})`);
  const triggers = form.triggers.map(
    (trigger) =>
      `    ${toName(trigger.name) || "Trigger"} {\n      condition(expr: ${quote(triggerCondition(trigger))})\n      action(expr: ${quote(triggerAction(form.flowRole, trigger.values))})\n    }`,
  );
  const block = triggers.length > 0 ? `  triggers {\n${triggers.join("\n")}\n  }` : "  triggers {\n  }";
  return `query ${form.name} @deployment(\n  id: ${quote(makeUrn(namespace, "Deployment", form.name))}\n  systemId: ${quote(form.systemUrn)}\n) {\n${[...lines, block].join("\n")}\n}\n`;
}

/** Something a deployment does on behalf of its author. */
export interface Permission {
  readonly action: string;
  readonly resource: string;
  readonly because: string;
}

/** What runs for one role: the device or service entity, the thing, and the members that flows and triggers use. */
export interface Use {
  readonly entity: Entity;
  readonly thing: string | null;
  readonly members: ReadonlySet<string>;
}

function concrete(template: string, thing: string | null, region: string, account: string): string {
  const inner = /^\$?macro\(([\s\S]*)\)$/.exec(template)?.[1] ?? template;
  return inner
    .replaceAll(/\$\{\s*systemRuntime\.deviceId\s*\}/gi, thing ?? "*")
    .replaceAll(/\$\{\s*systemConfig\.awsRegion\s*\}/gi, region)
    .replaceAll(/\$\{\s*systemConfig\.(?:awsA|a)ccountId\s*\}/gi, account)
    .replaceAll(/\$\{[^}]*\}/g, "*");
}

/** The permissions a deployment needs, each once. */
export function permissions(uses: readonly Use[], region: string, account: string): Permission[] {
  const found = new Map<string, Permission>();
  const iot = `arn:aws:iot:${region}:${account}`;
  const add = (action: string, resource: string, because: string) => {
    const key = `${action} ${resource}`;
    if (!found.has(key)) found.set(key, { action, resource, because });
  };
  for (const { entity, thing, members } of uses) {
    const protocol = entity.protocol?.toLowerCase() ?? "";
    const who = thing ?? urnName(entity.id);
    for (const line of wire(entity)) {
      if (!members.has(line.member.toLowerCase())) continue;
      const because = `${who}: ${line.member}`;
      if (protocol === "mqtt")
        for (const [action, resource] of topics(line, thing, region, account, iot)) add(action, resource, because);
      else if (protocol === "modbus")
        add(
          /^read(?!write)/i.test(line.operation) ? "iotthingsgraph:ReadModbus" : "iotthingsgraph:WriteModbus",
          `${iot}:thing/${thing ?? "*"}`,
          `${because} (${line.operation} at ${line.target})`,
        );
      else if (protocol === "awslambda")
        add("lambda:InvokeFunction", concrete(line.target, thing, region, account), because);
      else
        add(
          "iotthingsgraph:InvokeWebService",
          `arn:aws:iotthingsgraph:${region}:${account}:web-service/${host(concrete(line.target, thing, region, account))}`,
          because,
        );
    }
  }
  return [...found.values()];
}

/** `host:port` of a URL; stars where only the run tells. */
function host(url: string): string {
  const [, scheme = "", name = "*", port] = /^(https?):\/\/([^/:?#]+)(?::(\d+|\*))?/i.exec(url) ?? [];
  return `${name.toLowerCase()}:${port ?? (scheme.toLowerCase() === "http" ? "80" : "443")}`;
}

function topics(
  line: WireLine,
  thing: string | null,
  region: string,
  account: string,
  iot: string,
): [string, string][] {
  const listen = (template: string): [string, string][] => {
    const topic = concrete(template, thing, region, account);
    return [
      ["iot:Subscribe", `${iot}:topicfilter/${topic}`],
      ["iot:Receive", `${iot}:topic/${topic}`],
    ];
  };
  if (line.kind === "event") return listen(line.target);
  const sent: [string, string][] = [["iot:Publish", `${iot}:topic/${concrete(line.target, thing, region, account)}`]];
  return line.answer === "" ? sent : [...sent, ...listen(line.answer)];
}

/** True when a policy's pattern (with `*` and `?`) covers a name. */
export function covers(pattern: string, name: string): boolean {
  const source = pattern
    .replace(/[.+^${}()|[\]\\]/g, "\\$&")
    .replaceAll("*", "[\\s\\S]*")
    .replaceAll("?", "[\\s\\S]");
  return new RegExp(`^${source}$`, "i").test(name);
}

/** Bindings, system and triggers a deployment document tells. */
export function readDeployment(document: string): {
  system: string;
  bindings: Map<string, string>;
  triggers: { name: string; condition: string; actions: string[] }[];
} {
  const found = parse(document).find((one) => directive(one.directives, "deployment"));
  const made = found && directive(found.directives, "deployment");
  const bindings = new Map<string, string>();
  const triggers: { name: string; condition: string; actions: string[] }[] = [];
  for (const node of found?.body ?? []) {
    if (node.name.toLowerCase() === "triggers") {
      for (const trigger of node.children) {
        const condition = child(trigger.children, "condition");
        const actions = trigger.children.flatMap((one) =>
          one.name.toLowerCase() === "action" ? (textOf(one.args, "expr") ?? []) : [],
        );
        triggers.push({
          name: trigger.name,
          condition: condition ? (textOf(condition.args, "expr") ?? "") : "",
          actions,
        });
      }
    } else {
      const thing = textOf(node.args, "deviceId");
      if (thing !== undefined) bindings.set(node.name.toLowerCase(), thing);
    }
  }
  return { system: made ? (textOf(made.args, "systemId") ?? "") : "", bindings, triggers };
}

/** Roles and flows a system document tells. */
export function readSystem(document: string): {
  urn: string;
  things: { name: string; urn: string }[];
  flows: { name: string; urn: string }[];
} {
  const found = parse(document).find((one) => directive(one.directives, "systemType"));
  const made = found && directive(found.directives, "systemType");
  const pick = (usage: string) =>
    (found?.body ?? []).flatMap((node) => {
      const used = directive(node.directives, usage);
      const urn = used && textOf(used.args, "id");
      return urn ? [{ name: node.name, urn }] : [];
    });
  return { urn: made ? (textOf(made.args, "id") ?? "") : "", things: pick("thing"), flows: pick("workflow") };
}

/** Role names a trigger's condition listens to, with the event. */
export function watched(condition: string): { role: string; event: string }[] {
  const path = /devices\s*\[\s*name\s*==\s*(['"])(.*?)\1\s*\]\s*\.\s*events\s*\[\s*name\s*==\s*(['"])(.*?)\3\s*\]/g;
  return [...condition.matchAll(path)].map((found) => ({ role: found[2] ?? "", event: found[4] ?? "" }));
}

/** Members of a device's capability that the flow's steps call on a role. */
export function membersUsed(flow: Flow, role: Role, conditions: readonly string[]): Set<string> {
  const used = new Set<string>();
  for (const node of flow.nodes) {
    if (node.kind !== "device" || !node.urn || !node.action) continue;
    const id = typeof node.deviceId?.value === "string" ? node.deviceId.value : "";
    const names =
      role.parameter !== null ? new RegExp(`\\b${role.parameter}\\b`, "i").test(id) : sameUrn(node.urn, role.urn);
    if (names) used.add(node.action.toLowerCase());
  }
  for (const condition of conditions) {
    for (const { role: name, event } of watched(condition))
      if (urnKey(name) === urnKey(role.name)) used.add(event.toLowerCase());
  }
  return used;
}
