// The Things Graph half of the scripted server: library, flows, deployments, executions, and the language service.
import { readdirSync, readFileSync } from "node:fs";
import { page } from "../page.mjs";
import { Fault } from "../server.mjs";
import { ACCOUNT, arn, REGION } from "../world.mjs";
import { drawing, problem } from "./draw.mjs";
import { edited } from "./edit.mjs";
import { parser } from "./parser.mjs";
import { run } from "./run.mjs";

const { child, directive, parse, text, texts } = parser;
const ROOT = new URL("../../../../", import.meta.url).pathname;
const key = (urn) => urn.toLowerCase();
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

const now = () => Date.now() / 1000;
const missing = (what) => new Fault(400, "ResourceNotFoundException", `${what} does not exist`);

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
    /** Actions that fail: name to error. */
    broken: new Map(),
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
    extra: routes(graph, known),
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

function template(kept, id, document) {
  const before = kept.get(key(id));
  const revisions = [...(before?.revisions ?? []), { text: document, createdAt: now() }];
  const made = { id, revisions, deprecated: false };
  kept.set(key(id), made);
  return summary(made);
}

const summary = ({ id, revisions }, revision = revisions.length) => ({
  id,
  arn: arn(`${id.includes(":System:") ? "System" : "Workflow"}/default/${id.split(":").at(-1)}`, "iotthingsgraph"),
  revisionNumber: revision,
  createdAt: revisions[0].createdAt,
});

function idIn(document, name) {
  const found = parse(document).flatMap((one) => directive(one.directives, name) ?? [])[0];
  const id = found && text(found.args, "id");
  if (!id) throw new Fault(400, "InvalidRequestException", `TDM2005 1:1: the document needs exactly one @${name}`);
  return id;
}

function deploy(graph, document, input, status = "NOT_DEPLOYED") {
  const id = idIn(document, "deployment");
  const made = directive(parse(document)[0].directives, "deployment");
  const { definition: _, ...rest } = input;
  const kept = {
    id,
    arn: arn(`Deployment/default/${id.split(":").at(-1)}`, "iotthingsgraph"),
    status,
    system: text(made.args, "systemId"),
    text: document,
    createdAt: now(),
    updatedAt: now(),
    ...rest,
  };
  graph.deployments.set(key(id), kept);
  return kept;
}

const shown = ({ id, arn: name, status, target, greengrassGroupName, createdAt, updatedAt }) => ({
  id,
  arn: name,
  status,
  target,
  greengrassGroupName,
  createdAt,
  updatedAt,
});

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
    const answers = (action) =>
      graph.broken.has(action)
        ? { fail: graph.broken.get(action) }
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
  const listen = (execution, { at, type, payload }) => {
    if (wanted && wanted !== execution.arn && wanted !== execution.deployment) return;
    send("execution", {
      execution: execution.id,
      flow: execution.flow,
      step: payload.stepName,
      state: type,
      at: at / 1000,
      message: JSON.stringify(payload),
    });
  };
  graph.listeners.add(listen);
  return () => graph.listeners.delete(listen);
}

const happened = (execution) => execution.messages.filter((message) => message.at <= Date.now());
function status(execution) {
  const last = happened(execution).at(-1)?.type ?? "";
  return (
    { EXECUTION_SUCCEEDED: "SUCCEEDED", EXECUTION_FAILED: "FAILED", EXECUTION_ABORTED: "ABORTED" }[last] ?? "RUNNING"
  );
}

function operations(graph, known, store) {
  const IG = "iotthingsgraph";
  const paged = (items, input, keyOf, name) => {
    const { items: part, nextToken } = page(items, { max: input.maxResults ?? 50, token: input.nextToken }, keyOf);
    return { [name]: part, ...(nextToken && { nextToken }) };
  };
  const deploymentOf = (id) => graph.deployments.get(key(id ?? "")) ?? raise(missing(`deployment ${id}`));
  const table = {
    SearchEntities: (input) => {
      const words = (input.filters ?? []).filter((one) => one.name === "NAME").flatMap((one) => one.value);
      const list = [...graph.entities.values()].filter(
        (one) =>
          input.entityTypes.includes(one.type) &&
          words.every((word) => one.id.toLowerCase().includes(word.toLowerCase())),
      );
      return paged(
        list.sort((a, b) => (key(a.id) < key(b.id) ? -1 : 1)),
        input,
        (one) => one.id,
        "descriptions",
      );
    },
    GetEntities: ({ ids }) => ({
      descriptions: ids.map((id) => graph.entities.get(key(id)) ?? raise(missing(`entity ${id}`))),
    }),
    DescribeNamespace: ({ namespaceName }) =>
      namespaceName === "aws"
        ? { namespaceName, namespaceArn: "arn:aws:iotthingsgraph", namespaceVersion: 12 }
        : {
            namespaceArn: arn("", IG),
            namespaceName: `${REGION}/${ACCOUNT}/default`,
            namespaceVersion: graph.version,
            trackingNamespaceName: "aws",
            trackingNamespaceVersion: 11,
          },
    UploadEntityDefinitions: ({ document, deprecateExistingEntities }) => {
      const uploadId = crypto.randomUUID();
      const errors = document
        ? drawing(document.text, known).diagnostics.filter((one) => one.severity === "error")
        : [];
      graph.uploads.set(uploadId, { at: Date.now(), errors });
      if (errors.length === 0) {
        if (deprecateExistingEntities)
          for (const [id, one] of graph.entities) if (!one.id.startsWith("urn:tdm:aws")) graph.entities.delete(id);
        graph.version += 1;
        if (document) store(document.text);
      }
      return { uploadId };
    },
    GetUploadStatus: ({ uploadId }) => {
      const upload = graph.uploads.get(uploadId) ?? raise(missing(`upload ${uploadId}`));
      const done = Date.now() - upload.at > 700;
      const uploadStatus = !done ? "IN_PROGRESS" : upload.errors.length > 0 ? "FAILED" : "SUCCEEDED";
      return {
        uploadId,
        uploadStatus,
        createdDate: upload.at / 1000,
        namespaceVersion: graph.version,
        ...(uploadStatus === "FAILED" && {
          failureReason: upload.errors.map((one) => `${one.code} ${one.line}:${one.column}: ${one.message}`),
        }),
      };
    },
    SearchThings: ({ entityId }) => {
      const fits = (device) =>
        key(device) === key(entityId) ||
        key(
          text(
            parse(graph.entities.get(key(device))?.definition.text ?? "")[0]?.directives[0]?.args ?? [],
            "deviceModel",
          ) ?? "",
        ) === key(entityId);
      return {
        things: [...graph.things]
          .filter(([, device]) => fits(device))
          .map(([thingName]) => ({ thingName, thingArn: arn(`thing/${thingName}`) })),
      };
    },
    AssociateEntityToThing: ({ thingName, entityId }) => void graph.things.set(thingName, entityId) ?? {},
    SearchSystemInstances: (input) =>
      paged([...graph.deployments.values()].map(shown), input, (one) => one.id, "summaries"),
    CreateSystemInstance: (input) => {
      const id = idIn(input.definition.text, "deployment");
      if (graph.deployments.has(key(id))) throw new Fault(400, "ResourceAlreadyExistsException", `${id} exists`);
      return { summary: shown(deploy(graph, input.definition.text, input)) };
    },
    GetSystemInstance: ({ id }) => {
      const { text: document, flowActionsRoleArn, s3BucketName, ...rest } = deploymentOf(id);
      return {
        description: {
          summary: shown(rest),
          definition: { language: "GRAPHQL", text: document },
          flowActionsRoleArn,
          s3BucketName,
        },
      };
    },
    DeploySystemInstance: ({ id }) => {
      const found = deploymentOf(id);
      Object.assign(found, { status: "DEPLOY_IN_PROGRESS", updatedAt: now() });
      setTimeout(() => Object.assign(found, { status: "DEPLOYED_IN_TARGET", updatedAt: now() }), 900).unref();
      return { summary: shown(found) };
    },
    UndeploySystemInstance: ({ id }) => ({
      summary: shown(Object.assign(deploymentOf(id), { status: "DELETED_IN_TARGET", updatedAt: now() })),
    }),
    DeleteSystemInstance: ({ id }) => void graph.deployments.delete(key(id)) ?? {},
    SearchFlowExecutions: (input) => {
      const list = graph.executions.filter(
        (one) =>
          key(one.deployment) === key(input.systemInstanceId) &&
          (!input.flowExecutionId || input.flowExecutionId === one.id) &&
          one.start / 1000 >= (input.startTime ?? 0) &&
          one.start / 1000 <= (input.endTime ?? Number.POSITIVE_INFINITY),
      );
      const all = list.map((one) => ({
        flowExecutionId: one.id,
        status: status(one),
        systemInstanceId: one.deployment,
        flowTemplateId: one.flow,
        createdAt: one.start / 1000,
        updatedAt: (happened(one).at(-1)?.at ?? one.start) / 1000,
      }));
      return paged(all, input, (one) => one.flowExecutionId, "summaries");
    },
    ListFlowExecutionMessages: (input) => {
      const found = graph.executions.find((one) => one.id === input.flowExecutionId) ?? raise(missing("execution"));
      const all = happened(found).map((one) => ({
        messageId: String(one.seq),
        eventType: one.type,
        timestamp: one.at / 1000,
        payload: JSON.stringify(one.payload),
      }));
      return paged(all, input, (one) => one.messageId, "messages");
    },
  };
  for (const [kind, kept, name] of [
    ["Flow", graph.flows, "workflowType"],
    ["System", graph.systems, "systemType"],
  ]) {
    const find = (id) => kept.get(key(id ?? "")) ?? raise(missing(id));
    Object.assign(table, {
      [`Search${kind}Templates`]: (input) => {
        const wanted = input.filters?.[0]?.value[0];
        const list = [...kept.values()].filter(
          (one) => !wanted || key(one.revisions.at(-1).text).includes(key(wanted)),
        );
        return paged(
          list.map((one) => summary(one)),
          input,
          (one) => one.id,
          "summaries",
        );
      },
      [`Get${kind}Template`]: ({ id, revisionNumber }) => {
        const found = find(id);
        const revision = revisionNumber ?? found.revisions.length;
        return {
          description: {
            summary: summary(found, revision),
            definition: { language: "GRAPHQL", text: found.revisions[revision - 1].text },
          },
        };
      },
      [`Get${kind}TemplateRevisions`]: (input) => {
        const found = find(input.id);
        const list = found.revisions
          .map((one, index) => ({ ...summary(found, index + 1), createdAt: one.createdAt }))
          .reverse();
        return paged(list, input, (one) => String(one.revisionNumber), "summaries");
      },
      [`Create${kind}Template`]: ({ definition }) => {
        const id = idIn(definition.text, name);
        if (kept.has(key(id))) throw new Fault(400, "ResourceAlreadyExistsException", `${id} exists`);
        return { summary: template(kept, id, definition.text) };
      },
      [`Update${kind}Template`]: ({ id, definition }) => find(id) && { summary: template(kept, id, definition.text) },
      [`Deprecate${kind}Template`]: ({ id }) => void Object.assign(find(id), { deprecated: true }) ?? {},
      [`Delete${kind}Template`]: ({ id }) => {
        if (!find(id).deprecated) throw new Fault(400, "InvalidRequestException", "the template is not deprecated");
        kept.delete(key(id));
        return {};
      },
    });
  }
  const roles = () => ({
    Roles: [
      {
        RoleName: "MarramDemoFlows",
        Arn: `arn:aws:iam::${ACCOUNT}:role/MarramDemoFlows`,
        AssumeRolePolicyDocument: encodeURIComponent(
          '{"Statement":[{"Principal":{"Service":"iotthingsgraph.amazonaws.com"}}]}',
        ),
      },
    ],
    IsTruncated: false,
  });
  return {
    ...Object.fromEntries(Object.entries(table).map(([name, act]) => [`${IG}.${name}`, [`${IG}:${name}`, act]])),
    "iam.ListRoles": ["iam:ListRoles", roles],
  };
}

function raise(fault) {
  throw fault;
}

function routes(graph, known) {
  const answer = (document) => {
    const drawn = drawing(document, known);
    return { text: document, drawing: drawn, diagnostics: drawn.diagnostics };
  };
  return {
    "tdm/check": (input) => ({ diagnostics: drawing(input.text, known).diagnostics }),
    "tdm/flow": (input) => drawing(input.text, known),
    "tdm/edit": (input) => answer(edited(input.text, input.edits, known)),
    "tdm/format": (input) => ({ text: `${input.text.trim()}\n` }),
    "tdm/complete": ({ text: document, offset }) => {
      const word = /[\w]*$/.exec(document.slice(0, offset))[0];
      const words = ["type", "query", "enum", "step", "DeviceActivity", "ChoiceActivity", "OnError"].filter((one) =>
        one.toLowerCase().startsWith(word.toLowerCase()),
      );
      return {
        from: offset - word.length,
        to: offset,
        items: words.map((one) => ({ label: one, kind: "keyword", insert: one })),
      };
    },
    "tdm/scope": ({ text: document, flow: name, expression = "" }) => {
      const flow = drawing(document, known).flows.find((one) => one.urn === name || one.name === name);
      const names = [...(flow?.parameters ?? []), ...(flow?.variables ?? [])].map((one) => ({
        path: one.name,
        type: one.type ?? "Json",
      }));
      names.push({ path: "systemConfig.awsRegion", type: "String" });
      const wrong = /\bnobody\b/.exec(expression);
      return {
        names,
        functions: [{ path: "tdm.lib.Math.abs", arguments: [1, 1] }],
        ...(wrong && { error: { message: "unknown name `nobody`", from: wrong.index, to: wrong.index + 6 } }),
      };
    },
    "tdm/simulate": ({ text: document, flow: name, events }) => {
      const flow = drawing(document, known).flows.find((one) => one.urn === name || one.name === name);
      if (!flow) throw new Fault(400, "ValidationException", "no such flow", "flow");
      const lines = typeof events === "string" ? script(events) : (events ?? madeUp(flow));
      const start = lines.find((line) => line.start)?.start ?? {};
      const used = new Map();
      const answers = (action) => {
        const fitting = lines.filter((line) => line.on === action);
        const at = used.get(action) ?? 0;
        used.set(action, at + 1);
        const line = fitting[Math.min(at, fitting.length - 1)] ?? {};
        return line.silent ? { fail: "TG.Timeout", after: 60_000 } : line;
      };
      const messages = run(flow, { parameters: start, answers });
      const timeline = messages.map(({ at, type, payload }) => ({
        at_ms: at,
        kind: type,
        execution: 1,
        step: payload.stepName ?? null,
        detail: payload,
      }));
      const last = messages.at(-1).type.replace("EXECUTION_", "");
      return {
        timeline,
        outcome: { status: last, executions: [{ id: "1", trigger: "Manual", status: last }], truncated: false },
        script: lines,
        diagnostics: [],
      };
    },
  };
}

function script(lines) {
  try {
    return lines
      .split("\n")
      .filter((line) => line.trim() !== "" && !line.trim().startsWith("#"))
      .map((line) => JSON.parse(line));
  } catch (error) {
    throw new Fault(400, "ValidationException", `the script cannot be read: ${error.message}`, "events");
  }
}

function madeUp(flow) {
  const things = flow.parameters
    .filter((one) => /string/i.test(one.type))
    .map((one) => ({ thing: `${one.name}-1`, role: one.name }));
  const start = Object.fromEntries(things.map((one) => [one.role, one.thing]));
  const actions = [...new Set(flow.nodes.flatMap((node) => node.action ?? []))];
  return [...things, { at: 0, start }, ...actions.map((on) => ({ on, after: 120, reply: {} }))];
}

export { problem };
