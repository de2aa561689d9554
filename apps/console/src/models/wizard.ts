// The text of a new device model: property, state, event, action, capability, model and device from a filled form.

import { quote } from "../tdm-editor/lexer.ts";
import { makeUrn, toName } from "./urn.ts";

export const DATA_TYPES = [
  "Boolean",
  "Int8",
  "Int16",
  "Int32",
  "Int64",
  "UInt8",
  "UInt16",
  "UInt32",
  "UInt64",
  "Float32",
  "Float64",
  "String",
  "DateTime",
  "Duration",
  "Uri",
  "Json",
] as const;
export type DataType = (typeof DATA_TYPES)[number];

export const MODBUS_OPERATIONS = [
  "ReadCoils",
  "ReadDiscreteInputs",
  "ReadHoldingRegisters",
  "ReadInputRegisters",
  "WriteSingleCoil",
  "WriteSingleRegister",
] as const;

export interface FieldForm {
  readonly name: string;
  readonly type: DataType;
  readonly min: string;
  readonly max: string;
}

export interface ActionForm {
  readonly name: string;
  readonly inputs: readonly { readonly name: string; readonly type: DataType }[];
  /** Nothing, the whole state, or one value. */
  readonly returns: "nothing" | "state" | DataType;
  /** MQTT: topics below the thing's name. */
  readonly request: string;
  readonly response: string;
  /** Modbus: operation and address. */
  readonly operation: (typeof MODBUS_OPERATIONS)[number];
  readonly address: string;
}

export interface EventForm {
  readonly name: string;
  readonly payload: "state" | "Json";
  readonly topic: string;
}

export interface ModelForm {
  readonly namespace: string;
  readonly name: string;
  readonly description: string;
  readonly protocol: "MQTT" | "Modbus" | "none";
  readonly device: string;
  readonly serverId: string;
  readonly fields: readonly FieldForm[];
  readonly events: readonly EventForm[];
  readonly actions: readonly ActionForm[];
}

/** An empty form for a namespace. */
export function emptyForm(namespace: string): ModelForm {
  return {
    namespace,
    name: "",
    description: "",
    protocol: "MQTT",
    device: "",
    serverId: "1",
    fields: [],
    events: [],
    actions: [],
  };
}

const builtIn = (type: DataType) => `urn:tdm:aws:Property:${type}`;
const upper = (name: string) => name.charAt(0).toUpperCase() + name.slice(1);
const isNumeric = (type: DataType) => /^(U?Int|Float)/.test(type);
const NUMBER = /^-?\d+(\.\d+)?$/;

/** What keeps the form from being written, by field; empty when all is well. */
export function formProblems(form: ModelForm): string[] {
  const problems: string[] = [];
  if (toName(form.name) === "") problems.push("The model needs a name.");
  const members = new Set<string>();
  for (const entry of [...form.actions, ...form.events]) {
    const name = toName(entry.name).toLowerCase();
    if (name === "") problems.push("Every action and event needs a name.");
    else if (members.has(name)) problems.push(`“${entry.name}” stands twice among actions and events.`);
    members.add(name);
  }
  const fields = new Set<string>();
  for (const field of form.fields) {
    const name = toName(field.name).toLowerCase();
    if (name === "") problems.push("Every field of the state needs a name.");
    else if (fields.has(name)) problems.push(`The state has “${field.name}” twice.`);
    fields.add(name);
    for (const limit of [field.min, field.max])
      if (limit !== "" && !NUMBER.test(limit)) problems.push(`“${limit}” is no number.`);
  }
  for (const action of form.actions) {
    if (action.inputs.some((input) => toName(input.name) === ""))
      problems.push(`An input of “${action.name}” has no name.`);
    if (action.returns === "state" && form.fields.length === 0)
      problems.push(`“${action.name}” returns the state, but the state has no fields.`);
    if (form.protocol === "Modbus" && !/^\d+$/.test(action.address))
      problems.push(`“${action.name}” needs a Modbus address.`);
    if (form.protocol === "Modbus" && action.operation.startsWith("Write") && action.inputs.length !== 1) {
      problems.push(`“${action.name}” writes one value: give it exactly one input.`);
    }
    if (
      form.protocol === "Modbus" &&
      action.operation.startsWith("Read") &&
      (action.returns === "nothing" || action.returns === "state")
    ) {
      problems.push(`“${action.name}” reads: choose what it returns.`);
    }
  }
  if (form.events.some((event) => event.payload === "state") && form.fields.length === 0)
    problems.push("An event carries the state, but the state has no fields.");
  if (form.protocol === "Modbus" && form.events.length > 0) problems.push("Modbus devices have no events.");
  if (form.actions.length + form.events.length + form.fields.length === 0)
    problems.push("Give the model at least one field, event or action.");
  return [...new Set(problems)];
}

/** The document. */
export function writeModel(form: ModelForm): string {
  const name = upper(toName(form.name));
  const id = (metatype: Parameters<typeof makeUrn>[1], path: string) => quote(makeUrn(form.namespace, metatype, path));
  const out: string[] = [`# ${name}${form.description ? `: ${form.description.replace(/\s+/g, " ")}` : ""}`];
  const propertyOf = (field: FieldForm) =>
    isNumeric(field.type) && (field.min !== "" || field.max !== "") ? `${name}${upper(toName(field.name))}` : null;
  for (const field of form.fields) {
    const own = propertyOf(field);
    if (!own) continue;
    const limits = [field.min && `minValue: ${field.min}`, field.max && `maxValue: ${field.max}`]
      .filter(Boolean)
      .join(", ");
    out.push(
      `type ${own} @propertyType(id: ${id("Property", own)}, dataType: ${field.type.toLowerCase()}, ${limits}) { ignore: void }`,
    );
  }
  const hasState = form.fields.length > 0;
  const stateProperty = id("Property", `${name}StateProperty`);
  const propertyUrn = (field: FieldForm) => {
    const own = propertyOf(field);
    return own ? id("Property", own) : quote(builtIn(field.type));
  };
  if (hasState) {
    const fields = form.fields.map(
      (field) => `  ${toName(field.name)}: ${propertyOf(field) ?? field.type} @property(id: ${propertyUrn(field)})`,
    );
    out.push(`type ${name}State @stateType(id: ${id("State", `${name}State`)}) {\n${fields.join("\n")}\n}`);
    out.push(
      `type ${name}StateProperty @propertyType(id: ${stateProperty}, instanceOf: ${id("State", `${name}State`)}) { ignore: void }`,
    );
  }
  const eventType = (event: EventForm) => `${name}${upper(toName(event.name))}`;
  const payload = (event: EventForm) =>
    event.payload === "state" && hasState ? stateProperty : quote(builtIn("Json"));
  for (const event of form.events)
    out.push(
      `type ${eventType(event)} @eventType(id: ${id("Event", eventType(event))}, payload: ${payload(event)}) { ignore: void }`,
    );
  const actionType = (action: ActionForm) => `${name}${upper(toName(action.name))}`;
  const returned = (action: ActionForm) =>
    action.returns === "nothing" ? null : action.returns === "state" ? stateProperty : quote(builtIn(action.returns));
  for (const action of form.actions) {
    const fields = action.inputs.map(
      (input) => `  ${toName(input.name)}: ${input.type} @property(id: ${quote(builtIn(input.type))})`,
    );
    const result = returned(action);
    if (result)
      fields.push(
        `  return: ${action.returns === "state" ? `${name}StateProperty` : action.returns} @property(id: ${result})`,
      );
    const body = fields.length > 0 ? `{\n${fields.join("\n")}\n}` : "{ ignore: void }";
    out.push(`type ${actionType(action)} @actionType(id: ${id("Action", actionType(action))}) ${body}`);
  }
  const members = [
    ...(hasState ? [`  STATE: ${name}State @state(id: ${id("State", `${name}State`)})`] : []),
    ...form.actions.map(
      (action) => `  ${toName(action.name)}: ${actionType(action)} @action(id: ${id("Action", actionType(action))})`,
    ),
    ...form.events.map(
      (event) => `  ${toName(event.name)}: ${eventType(event)} @event(id: ${id("Event", eventType(event))})`,
    ),
  ];
  const capability = id("Capability", name);
  out.push(`type ${name} @capabilityType(id: ${capability}) {\n${members.join("\n")}\n}`);
  const told = form.description ? `, description: ${quote(form.description)}` : "";
  out.push(
    `type ${name} @deviceModel(id: ${id("DeviceModel", name)}, capability: ${capability}${told}) { ignore: void }`,
  );
  if (form.protocol !== "none") {
    const device = upper(toName(form.device) || `${name}Device`);
    const inner = form.protocol === "MQTT" ? mqtt(form, returned, payload, propertyUrn) : modbus(form, returned);
    const protocol = form.protocol === "MQTT" ? "MQTT" : `Modbus(serverId: ${quote(form.serverId || "1")})`;
    out.push(
      `query ${device} @device(id: ${id("Device", device)}, deviceModel: ${id("DeviceModel", name)}) {\n  ${protocol} {\n    ${name}(id: ${capability}) {\n${inner}\n    }\n  }\n}`,
    );
  }
  return `${out.join("\n\n")}\n`;
}

type Returned = (action: ActionForm) => string | null;

function inputs(action: ActionForm, indent: string): string {
  if (action.inputs.length === 0) return `${indent}params`;
  const list = action.inputs.map(
    (input) => `${indent}  param(name: ${quote(toName(input.name))}, property: ${quote(builtIn(input.type))})`,
  );
  return `${indent}params {\n${list.join("\n")}\n${indent}}`;
}

function topic(path: string, fallback: string): string {
  const inner = (path.trim() || fallback).replace(/^\/+|\/+$/g, "");
  return quote(`$macro(\${systemRuntime.deviceId}/${inner})`);
}

function sent(action: ActionForm, indent: string): string {
  if (action.inputs.length === 0) return `${indent}params`;
  const list = action.inputs.map((input) => {
    const name = toName(input.name);
    return `${indent}  param(name: ${quote(name)}, property: ${quote(builtIn(input.type))}, value: ${quote(`\${${name}.value}`)})`;
  });
  return `${indent}params {\n${list.join("\n")}\n${indent}}`;
}

function mqtt(
  form: ModelForm,
  returned: Returned,
  payload: (event: EventForm) => string,
  property: (field: FieldForm) => string,
): string {
  const out: string[] = [];
  if (form.fields.length > 0) {
    const fields = form.fields.map(
      (field) => `        ${toName(field.name)}(name: ${quote(toName(field.name))}, property: ${property(field)})`,
    );
    out.push(`      state {\n${fields.join("\n")}\n      }`);
  }
  for (const action of form.actions) {
    const name = toName(action.name);
    const result = returned(action);
    const response = result
      ? `\n          Response(topic: ${topic(action.response, `${name}/finished`)}) {\n            responsePayload(property: ${result})\n          }`
      : "";
    out.push(
      `      Action(name: ${quote(name)}) {\n${inputs(action, "        ")}\n        Publish {\n          Request(topic: ${topic(action.request, name)}) {\n${sent(action, "            ")}\n          }${response}\n        }\n      }`,
    );
  }
  for (const event of form.events) {
    const name = toName(event.name);
    out.push(
      `      Event(name: ${quote(name)}) {\n        Subscribe(topic: ${topic(event.topic, name)}) {\n          responsePayload(property: ${payload(event)})\n        }\n      }`,
    );
  }
  return out.join("\n");
}

function modbus(form: ModelForm, returned: Returned): string {
  return form.actions
    .map((action) => {
      const head = `      Action(name: ${quote(toName(action.name))}) {\n${inputs(action, "        ")}\n        ${action.operation} {\n`;
      const result = returned(action);
      const body = action.operation.startsWith("Read")
        ? `          Request(Address: ${action.address}, ReadCount: 1)\n          Response {\n            responsePayload(property: ${result ?? quote(builtIn("Json"))})\n          }`
        : `          Request(Address: ${action.address}) {\n${sent(action, "            ")}\n          }`;
      return `${head}${body}\n        }\n      }`;
    })
    .join("\n");
}
