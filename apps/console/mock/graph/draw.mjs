// Flows of a text as the drawing model, and back: what the language service does, for well-meant texts.
import { lexer, parser } from "./parser.mjs";

const { argument, child, directive, parse, text, texts } = parser;
const key = (name) => name.toLowerCase();

/** Definitions the scripted server knows, by lower-cased URN. */
export function drawing(source, known) {
  const diagnostics = [];
  const flows = [];
  for (const found of parse(source)) {
    const made = directive(found.directives, "workflowType");
    if (made) flows.push(flowOf(source, found, made, known, diagnostics));
  }
  const open = (source.match(/[{]/g) ?? []).length - (source.match(/[}]/g) ?? []).length;
  if (open !== 0)
    diagnostics.push(problem(source, "TDM2001", "error", "a brace is not closed", source.length, source.length));
  return { flows, systems: [], deployments: [], diagnostics };
}

export function problem(source, code, severity, message, from, to, help) {
  const before = source.slice(0, from).split("\n");
  return {
    code,
    severity,
    message,
    ...(help && { help }),
    from,
    to,
    line: before.length,
    column: before.at(-1).length + 1,
    notes: [],
  };
}

function flowOf(source, found, made, known, diagnostics) {
  const steps = child(found.body, "steps")?.children.filter((node) => key(node.name) === "step") ?? [];
  const nodes = steps.map((step) => stepOf(step, known));
  const produced = new Map();
  for (const node of nodes) {
    for (const output of node.outputs) {
      for (const event of output.events)
        produced.set(key(event), [...(produced.get(key(event)) ?? []), { node, output, event }]);
    }
  }
  const edges = [];
  for (const node of nodes) {
    for (const event of node.inEvent?.events ?? []) {
      for (const { node: source, output } of produced.get(key(event)) ?? []) {
        const kind =
          { success: "success", rule: "choice", default: "choice", catch: "error" }[output.port.split(":")[0]] ??
          "check";
        edges.push({
          id: `${source.name}|${output.port}|${event}|${node.name}`,
          source: source.name,
          target: node.name,
          port: output.port,
          event,
          label: kind === "success" ? event : output.label,
          condition: output.condition,
          from: source.from,
          to: source.to,
          kind,
        });
      }
      if (!produced.has(key(event))) {
        node.problems.push(diagnostics.length);
        diagnostics.push(
          problem(
            source,
            "TDM4003",
            "warning",
            `nothing emits \`${event}\`, so the step never runs`,
            node.from,
            node.nameTo,
          ),
        );
      }
    }
    if (node.kind === "device" && !(node.actions.length === 0 || node.actions.includes(node.action))) {
      node.problems.push(diagnostics.length);
      diagnostics.push(
        problem(
          source,
          "TDM4005",
          "error",
          `\`${node.title}\` has no action \`${node.action}\``,
          node.from,
          node.nameTo,
        ),
      );
    }
  }
  return {
    urn: text(made.args, "id") ?? null,
    name: found.name,
    description: text(made.args, "description") ?? null,
    from: found.from,
    to: found.to,
    parameters: found.parameters.map((one) => ({
      name: one.name,
      type: one.type.replace("!", ""),
      required: one.type.endsWith("!"),
      ...(one.value && { default: one.value.text }),
      from: 0,
      to: 0,
    })),
    variables: (child(found.body, "variables")?.children ?? []).map((one) => {
      const urn = text(directive(one.directives, "property")?.args ?? [], "id") ?? null;
      return { name: one.name, type: urn?.split(":").at(-1) ?? null, urn, from: one.from, to: one.to };
    }),
    events: [...produced.keys()],
    nodes,
    edges,
    edgesOmitted: 0,
  };
}

function stepOf(step, known) {
  const name = text(step.args, "name") ?? "";
  const activity = step.children.find((one) => /activity$/i.test(one.name));
  const kind =
    { deviceactivity: "device", webserviceactivity: "service", choiceactivity: "choice" }[key(activity?.name ?? "")] ??
    "unknown";
  const position = directive(step.directives, "position");
  const events = texts(step.args, "inEvent");
  const onError = child(step.children, "OnError");
  const catches = (child(onError?.children ?? [], "Catches")?.children ?? []).map((one) => ({
    name: text(one.args, "name") ?? null,
    errorEquals: texts(one.args, "errorEquals"),
    condition: text(one.args, "condition") ?? null,
    raiseEvent: texts(one.args, "raiseEvent"),
    expr: text(one.args, "expr") ?? null,
  }));
  const number = (args, name) => (text(args, name) === undefined ? null : Number(text(args, name)));
  const retries = (child(onError?.children ?? [], "Retries")?.children ?? []).map((one) => ({
    name: text(one.args, "name") ?? null,
    errorEquals: texts(one.args, "errorEquals"),
    condition: text(one.args, "condition") ?? null,
    interval: text(one.args, "interval") ?? null,
    backoffRate: number(one.args, "backoffRate"),
    maxAttempts: number(one.args, "maxAttempts"),
  }));
  const nameValue = argument(step.args, "name");
  const node = {
    name,
    kind,
    urn: null,
    title: kind === "choice" ? "Choice" : "Unfinished",
    description: text(step.args, "description") ?? null,
    position: position ? { x: Number(text(position.args, "x")), y: Number(text(position.args, "y")) } : null,
    from: step.from,
    to: step.to,
    nameFrom: nameValue?.from ?? step.from,
    nameTo: nameValue?.to ?? step.from,
    problems: [],
    readOnly: false,
    start: events.length === 0,
    inEvent: events.length === 0 ? null : { kind: "all", events },
    condition: text(step.args, "condition") ?? null,
    timeout: text(step.args, "timeout") ?? null,
    outputs: [],
    onError: onError ? { retries, catches, from: onError.from, to: onError.to } : null,
    onSuccess: [],
  };
  if (kind === "choice") choiceOf(node, activity);
  else {
    node.outputs.push({ port: "success", label: "success", condition: null, events: texts(step.args, "outEvent") });
    if (activity) activityOf(node, activity, known);
  }
  catches.forEach((one, index) => {
    node.outputs.push({
      port: `catch:${index}`,
      label: one.errorEquals.join(", ") || one.name,
      condition: one.condition,
      events: one.raiseEvent,
    });
  });
  return node;
}

function choiceOf(node, activity) {
  let index = 0;
  node.rules = activity.children.map((one) => {
    const isDefault = key(one.name) === "default";
    const port = isDefault ? "default" : `rule:${index++}`;
    const events = one.children.filter((set) => key(set.name) === "setevent").flatMap((set) => texts(set.args, "name"));
    return {
      port,
      name: text(one.args, "name") ?? null,
      expr: isDefault ? null : (text(one.args, "expr") ?? ""),
      events,
      variables: [],
      from: one.from,
      to: one.to,
    };
  });
  node.outputs = node.rules.map((rule) => ({
    port: rule.port,
    label: rule.port === "default" ? "otherwise" : (rule.name ?? rule.expr),
    condition: rule.expr,
    events: rule.events,
  }));
}

function activityOf(node, activity, known) {
  const call = activity.children[0];
  node.urn = text(activity.args, node.kind === "device" ? "deviceModel" : "webservice") ?? null;
  node.title = node.urn?.split(":").at(-1) ?? node.title;
  node.action = call?.name ?? null;
  node.out = text(activity.args, "out") ?? null;
  node.device = null;
  const device = argument(activity.args, "deviceId");
  node.deviceId = device ? { value: device.text, from: device.from, to: device.to } : null;
  const { capability = null, actions = [] } = (node.urn && known.actionsOf(node.urn)) ?? {};
  node.capability = capability;
  node.actions = actions.map((one) => one.name);
  const used = actions.find((one) => one.name === node.action);
  node.returns = used?.returns ?? null;
  const given = new Map((call?.args ?? []).map((one) => [one.name, one.value]));
  const names = new Set([...(used?.inputs ?? []).map((one) => one.name), ...given.keys()]);
  node.arguments = [...names].map((name) => {
    const value = given.get(name);
    const input = used?.inputs.find((one) => one.name === name);
    return {
      name,
      type: input?.type ?? null,
      required: false,
      value: value?.text ?? null,
      given: !!value,
      from: value?.from ?? 0,
      to: value?.to ?? 0,
    };
  });
}

const quoted = (value) => lexer.quote(String(value));
const list = (values) => `[${values.map(quoted).join(", ")}]`;

/** The text of a flow, written from its drawing. */
export function print(flow) {
  const parameters = flow.parameters.map(
    (one) =>
      `$${one.name}: ${one.type}${one.required ? "!" : ""}${one.default === undefined ? "" : ` = ${Number.isNaN(Number(one.default)) ? quoted(one.default) : one.default}`}`,
  );
  const head = parameters.length > 0 ? `(${parameters.join(", ")})` : "";
  const variables = flow.variables.map((one) => `    ${one.name} @property(id: ${quoted(one.urn)})\n`).join("");
  return `query ${flow.name}${head} @workflowType(id: ${quoted(flow.urn)}) {\n${variables && `  variables {\n${variables}  }\n`}  steps {\n${flow.nodes.map(printStep).join("")}  }\n}`;
}

function printStep(node) {
  const success = node.outputs.find((output) => output.port === "success")?.events ?? [];
  const args = [
    `name: ${quoted(node.name)}`,
    node.description && `description: ${quoted(node.description)}`,
    node.inEvent && `inEvent: ${list(node.inEvent.events)}`,
    success.length > 0 && `outEvent: ${list(success)}`,
    node.condition && `condition: ${quoted(node.condition)}`,
    node.timeout && `timeout: ${quoted(node.timeout)}`,
  ].filter(Boolean);
  const place = node.position ? ` @position(x: ${node.position.x}, y: ${node.position.y})` : "";
  return `    step(${args.join(", ")})${place} {\n${printActivity(node)}${printErrors(node)}    }\n`;
}

function printActivity(node) {
  if (node.kind === "choice") {
    const rules = node.rules.map((rule) => {
      const body =
        rule.events.length > 0
          ? ` { ${rule.events.map((event) => `setEvent(name: ${quoted(event)})`).join(" ")} }`
          : "";
      const name = rule.name ? `name: ${quoted(rule.name)}, ` : "";
      return rule.port === "default"
        ? `        default${body}\n`
        : `        rule(${name}expr: ${quoted(rule.expr)})${body || " {}"}\n`;
    });
    return `      ChoiceActivity {\n${rules.join("")}      }\n`;
  }
  const device = node.kind === "device";
  const args = [
    `${device ? "deviceModel" : "webservice"}: ${quoted(node.urn)}`,
    device && node.deviceId && `deviceId: ${quoted(node.deviceId.value)}`,
    node.out && `out: ${quoted(node.out)}`,
  ].filter(Boolean);
  const given = (node.arguments ?? [])
    .filter((one) => one.value !== null)
    .map((one) => `${one.name}: ${quoted(one.value)}`);
  return `      ${device ? "DeviceActivity" : "WebServiceActivity"}(${args.join(", ")}) {\n        ${node.action}${given.length > 0 ? `(${given.join(", ")})` : ""}\n      }\n`;
}

function printErrors({ onError }) {
  if (!onError || onError.retries.length + onError.catches.length === 0) return "";
  const retries = onError.retries.map((one) => {
    const args = [
      one.name && `name: ${quoted(one.name)}`,
      `errorEquals: ${list(one.errorEquals)}`,
      one.interval && `interval: ${quoted(one.interval)}`,
      one.backoffRate && `backoffRate: ${one.backoffRate}`,
      one.maxAttempts !== null && `maxAttempts: ${one.maxAttempts}`,
    ];
    return `          Retry(${args.filter(Boolean).join(", ")})\n`;
  });
  const catches = onError.catches.map((one) => {
    const args = [
      one.name && `name: ${quoted(one.name)}`,
      `errorEquals: ${list(one.errorEquals)}`,
      one.raiseEvent.length > 0 && `raiseEvent: ${list(one.raiseEvent)}`,
    ];
    return `          Catch(${args.filter(Boolean).join(", ")})\n`;
  });
  const block = (name, lines) => (lines.length > 0 ? `        ${name} {\n${lines.join("")}        }\n` : "");
  return `      OnError {\n${block("Retries", retries)}${block("Catches", catches)}      }\n`;
}
