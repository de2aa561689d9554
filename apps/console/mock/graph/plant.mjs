// The Things Graph half of the scripted server: library, flows, deployments, executions, and the language service.
import { readdirSync, readFileSync } from "node:fs";
import { ACCOUNT, arn, REGION } from "../world.mjs";
import { drawing } from "./draw.mjs";
import { routes } from "./language.mjs";
import { operations } from "./operations.mjs";
import { parser } from "./parser.mjs";
import { run } from "./run.mjs";
import { deploy, key, now, status, template } from "./state.mjs";

const { child, directive, parse, text, texts } = parser;
const ROOT = new URL("../../../../", import.meta.url).pathname;
const TYPES = {
  propertytype: "PROPERTY",
  enumtype: "ENUM",
  statetype: "STATE",
  eventtype: "EVENT",
  actiontype: "ACTION",
  capabilitytype: "CAPABILITY",
  mapping: "MAPPING",
  devicemodel: "DEVICE_MODEL",
  device: "DEVICE",
  service: "SERVICE",
};
const fill = (document) => document.replaceAll("REGION/ACCOUNT", `${REGION}/${ACCOUNT}`);
const read = (path) => fill(readFileSync(ROOT + path, "utf8"));

function library() {
  const folders = [
    "crates/domain/tdm/library",
    "crates/domain/tdm/library/examples",
    "crates/domain/tdm/library/examples/modbus",
  ];
  return folders.flatMap((folder) =>
    readdirSync(ROOT + folder)
      .filter((name) => name.endsWith(".graphql"))
      .map((name) => read(`${folder}/${name}`)),
  );
}

/** Options for `startMock`, and the state behind them for tests (`graph`). `things` binds devices to things. */
export function plant({ beatMillis = 2_500 } = {}) {
  const graph = {
    entities: new Map(),
    flows: new Map(),
    systems: new Map(),
    deployments: new Map(),
    executions: [],
    uploads: new Map(),
    things: new Map(),
    /** Actions and things that fail: name to error. */
    broken: new Map([["e2e-camera", "TG.Permission"]]),
    listeners: new Set(),
    version: 3,
  };
  const store = (document) => {
    for (const found of parse(document)) {
      const made = found.directives.find((one) => TYPES[key(one.name)]);
      const id = made && texts(made.args, "id")[0];
      if (!id) continue;
      const definition = { language: "GRAPHQL", text: document.slice(found.from, found.to) };
      graph.entities.set(key(id), {
        id,
        arn: arn(`entity/${id}`, "iotthingsgraph"),
        type: TYPES[key(made.name)],
        createdAt: now(),
        definition,
      });
    }
  };
  const known = { actionsOf: (urn) => actionsOf(graph, urn) };
  for (const document of library()) store(document);
  store(read("apps/marram/demo/sprinkler/entities.tdm"));
  const home = `urn:tdm:${REGION}/${ACCOUNT}/default`;
  const put = (kind, id, document) => template(graph[kind], id, document);
  put("flows", `${home}:Workflow:MotionAlert`, read("apps/marram/demo/motion/flow.tdm"));
  put("flows", `${home}:Workflow:Irrigate`, read("apps/marram/demo/sprinkler/flow.tdm"));
  put("systems", `${home}:System:MotionAlert`, read("apps/marram/demo/motion/system.tdm"));
  put("systems", `${home}:System:Irrigation`, read("apps/marram/demo/sprinkler/system.tdm"));
  deploy(
    graph,
    read("apps/marram/demo/motion/deployment.tdm"),
    { target: "CLOUD", flowActionsRoleArn: `arn:aws:iam::${ACCOUNT}:role/MarramDemoFlows` },
    "DEPLOYED_IN_TARGET",
  );
  deploy(
    graph,
    read("apps/marram/demo/sprinkler/deployment.tdm"),
    { target: "GREENGRASS", greengrassGroupName: "plant-1-gateways", s3BucketName: "flows" },
    "NOT_DEPLOYED",
  );
  for (const [thing, device] of [
    ["demo-motion", "HCSR501MotionSensor"],
    ["demo-camera", "RaspberryPiCamera"],
    ["demo-screen", "RaspberryPiScreen"],
    ["lobby-screen", "RaspberryPiScreen"],
  ])
    graph.things.set(thing, `urn:tdm:aws/examples:Device:${device}`);
  graph.things.set("demo-sprinkler", `${home}:Device:BedController`);

  const timer = setInterval(() => beat(graph, known), beatMillis);
  timer.unref();
  return {
    graph,
    known,
    extra: routes(known),
    more: operations(graph, known, store),
    executions: (search, send) => stream(graph, search, send),
  };
}

function actionsOf(graph, urn) {
  const entity = graph.entities.get(key(urn));
  const found = entity && parse(entity.definition.text)[0];
  if (!found) return null;
  const made = found.directives[0];
  const capability = text(made.args, "capability") ?? text(found.body[0]?.children[0]?.args ?? [], "id");
  const offered = capability && graph.entities.get(key(capability));
  if (!offered) return null;
  const actions = parse(offered.definition.text)[0].body.flatMap((member) => {
    const action = directive(member.directives, "action");
    if (!action) return [];
    const type = graph.entities.get(key(text(action.args, "id")));
    const fields = type ? parse(type.definition.text)[0].body : [];
    const result = fields.find((field) => key(field.name) === "return");
    const inputs = fields
      .filter((field) => field !== result && key(field.name) !== "ignore")
      .map((field) => ({ name: field.name, type: field.type }));
    return [{ name: member.name, inputs, returns: result?.type ?? null }];
  });
  return { capability, actions };
}

/** One execution of every deployed instance at each beat. */
function beat(graph, known) {
  for (const deployment of graph.deployments.values()) {
    if (deployment.status !== "DEPLOYED_IN_TARGET") continue;
    const system = graph.systems.get(key(deployment.system));
    const role = parse(system?.revisions.at(-1).text ?? "")[0]?.body.find((node) =>
      directive(node.directives, "workflow"),
    );
    const flowId = role && text(directive(role.directives, "workflow").args, "id");
    const flow =
      flowId && drawing(deployment.frozen ?? graph.flows.get(key(flowId))?.revisions.at(-1).text ?? "", known).flows[0];
    if (!flow) continue;
    const bindings = new Map(
      parse(deployment.text)[0].body.flatMap((node) =>
        text(node.args, "deviceId") ? [[key(node.name), text(node.args, "deviceId")]] : [],
      ),
    );
    const parameters = Object.fromEntries(
      flow.parameters.map((one) => [one.name, bindings.get(key(one.name)) ?? one.default ?? null]),
    );
    const trigger = child(parse(deployment.text)[0].body, "triggers")?.children[0]?.name ?? "Manual";
    const answers = (action, thing) =>
      graph.broken.has(action) || graph.broken.has(thing)
        ? { fail: graph.broken.get(action) ?? graph.broken.get(thing) }
        : { reply: { lastClickedImage: `picture-${graph.executions.length}.jpg` } };
    const start = Date.now();
    const id = `${flow.urn}_${new Date(start).toISOString()}_${trigger}_${crypto.randomUUID()}`;
    const messages = run(flow, { parameters, trigger, answers }).map((one, index) => ({
      ...one,
      at: start + one.at,
      seq: index + 1,
    }));
    const execution = { id, deployment: deployment.id, arn: deployment.arn, flow: flow.urn, start, messages };
    graph.executions.unshift(execution);
    graph.executions.splice(200);
    for (const message of messages)
      setTimeout(
        () => graph.listeners.forEach((listen) => void listen(execution, message)),
        message.at - start,
      ).unref();
  }
}

function stream(graph, search, send) {
  const wanted = search.get("deployment");
  const listen = (execution, { at, type, payload, seq }) => {
    if (wanted && wanted !== execution.arn && wanted !== execution.deployment) return;
    const messageId = String(seq);
    const state = status(execution);
    send("execution", {
      execution: execution.id,
      deployment: execution.deployment,
      flow: execution.flow,
      step: payload.stepName ?? null,
      state,
      event: type,
      messageId,
      at: at / 1000,
      payload: JSON.stringify(payload),
    });
  };
  graph.listeners.add(listen);
  return () => graph.listeners.delete(listen);
}
