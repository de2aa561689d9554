// Edits of the drawing model, applied to the drawing and printed again.
import { Fault } from "../server.mjs";
import { drawing, print } from "./draw.mjs";

const same = (one, other) => one.toLowerCase() === other.toLowerCase();

/** The text after all edits. */
export function edited(text, edits, known) {
  let now = text;
  edits.forEach((edit, index) => {
    now = one(now, edit, known, `edits[${index}]`);
  });
  return now;
}

function one(text, edit, known, field) {
  if (edit.op === "replace") return text.slice(0, edit.from) + edit.text + text.slice(edit.to);
  const refuse = (message) => {
    throw new Fault(400, "ValidationException", message, field);
  };
  const flow =
    drawing(text, known).flows.find((found) => same(found.urn ?? "", edit.flow) || same(found.name, edit.flow)) ??
    refuse("no such flow");
  const find = (name) => flow.nodes.find((node) => same(node.name, name)) ?? refuse(`no step is called \`${name}\``);
  const change = CHANGES[edit.op] ?? refuse(`unknown op \`${edit.op}\``);
  change(flow, edit, find, refuse, known);
  return text.slice(0, flow.from) + print(flow) + text.slice(flow.to);
}

function fresh(wanted, taken) {
  let name = wanted;
  for (let number = 2; taken.some((other) => same(other, name)); number += 1) name = `${wanted} ${number}`;
  return name;
}

/** The events a port emits, as the list that is printed. */
function portEvents(node, port) {
  if (port === "success") return node.outputs.find((output) => output.port === "success").events;
  if (port.startsWith("catch:")) return node.onError.catches[Number(port.slice(6))].raiseEvent;
  return node.rules.find((rule) => rule.port === port).events;
}

const CHANGES = {
  move: (_flow, { node, x, y }, find) => {
    find(node).position = { x, y };
  },
  "add-node": (flow, { node }, _find, refuse, known) => {
    const names = flow.nodes.map((other) => other.name);
    const actions = node.urn ? (known.actionsOf(node.urn)?.actions ?? []) : [];
    const action = node.action ?? actions[0]?.name ?? null;
    if (node.kind !== "choice" && !action) refuse("the entity has no actions");
    const name = fresh(node.name ?? action ?? "choice", names);
    let { deviceId } = node;
    if (node.kind === "device" && !deviceId) {
      const model = node.urn.split(":").at(-1).split("/").at(-1);
      const parameter = model.charAt(0).toLowerCase() + model.slice(1);
      if (!flow.parameters.some((other) => same(other.name, parameter)))
        flow.parameters.push({ name: parameter, type: "string", required: true });
      deviceId = `\${${parameter}}`;
    }
    flow.nodes.push({
      ...node,
      name,
      action,
      position: node.position ?? null,
      inEvent:
        node.start || flow.nodes.length === 0 ? null : { kind: "all", events: [fresh(`${name} may run`, flow.events)] },
      outputs: [{ port: "success", events: [] }],
      arguments: Object.entries(node.arguments ?? {}).map(([key, value]) => ({ name: key, value })),
      deviceId: deviceId ? { value: deviceId } : null,
      rules: [{ port: "default", name: null, expr: null, events: [] }],
      onError: null,
    });
  },
  "remove-node": (flow, { node }, find) => {
    const gone = find(node);
    const own = gone.outputs.flatMap((output) => output.events);
    flow.nodes = flow.nodes.filter((other) => other !== gone);
    for (const other of flow.nodes) {
      if (!other.inEvent) continue;
      const left = other.inEvent.events.filter((event) => !own.includes(event));
      if (left.length > 0) other.inEvent.events = left;
    }
  },
  "rename-node": (_flow, { node, to }, find) => {
    find(node).name = to;
  },
  connect: (flow, edit, find) => {
    const [source, target] = [find(edit.source), find(edit.target)];
    let port = edit.port ?? (source.kind === "choice" ? "new" : "success");
    if (port === "new") {
      port = `rule:${source.rules.length - 1}`;
      source.rules.splice(-1, 0, { port, name: `to ${target.name}`, expr: edit.condition ?? "true", events: [] });
    }
    if (port === "error") {
      source.onError ??= { retries: [], catches: [] };
      port = `catch:${source.onError.catches.push({ name: "failed", errorEquals: ["States.ALL"], condition: null, raiseEvent: [], expr: null }) - 1}`;
    }
    const events = portEvents(source, port);
    const event =
      edit.event ??
      events[0] ??
      fresh(`${source.name} ${port === "success" ? "done" : port.split(":")[0]}`, flow.events);
    if (!events.includes(event)) events.push(event);
    const emitted = flow.nodes.flatMap((node) => node.outputs.flatMap((output) => output.events));
    const before = (target.inEvent?.events ?? []).filter((one) => emitted.includes(one));
    target.inEvent = { kind: "all", events: [...new Set([...before, event])] };
  },
  disconnect: (flow, { edge }, find, refuse) => {
    const found = flow.edges.find((one) => one.id === edge) ?? refuse("no such edge");
    const events = portEvents(find(found.source), found.port);
    const shared = flow.edges.some((one) => one !== found && one.event === found.event && one.source === found.source);
    const target = find(found.target);
    if (!shared) events.splice(events.indexOf(found.event), 1);
    else target.inEvent.events = target.inEvent.events.filter((event) => event !== found.event);
  },
  "set-argument": (_flow, { node, name, value }, find) => {
    const found = find(node);
    found.arguments = [...found.arguments.filter((one) => one.name !== name), { name, value }];
  },
  "set-action": (_flow, { node, action }, find) => {
    Object.assign(find(node), { action, arguments: [] });
  },
  "set-condition": (flow, { edge, condition }, find) => {
    const found = flow.edges.find((one) => one.id === edge);
    find(found.source).rules.find((rule) => rule.port === found.port).expr = condition;
  },
  "set-on-error": (_flow, { node, retries, catches }, find) => {
    find(node).onError = { retries, catches };
  },
  "set-field": (_flow, { node, field, value }, find, refuse) => {
    const found = find(node);
    if (field === "deviceId") found.deviceId = value === null ? null : { value };
    else if (["description", "condition", "timeout", "out"].includes(field)) found[field] = value;
    else refuse(`the scripted server does not set \`${field}\``);
  },
  "add-variable": (flow, { name, urn }) => {
    flow.variables.push({ name, urn });
  },
  "remove-variable": (flow, { name }) => {
    flow.variables = flow.variables.filter((one) => !same(one.name, name));
  },
  "add-parameter": (flow, { name, type, required }) => {
    flow.parameters.push({ name, type, required: required ?? false });
  },
};
