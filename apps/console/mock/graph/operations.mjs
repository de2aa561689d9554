// The Things Graph operations of the scripted server.
import { page } from "../page.mjs";
import { Fault } from "../server.mjs";
import { ACCOUNT, arn, REGION } from "../world.mjs";
import { drawing } from "./draw.mjs";
import { parser } from "./parser.mjs";
import { deploy, happened, idIn, key, missing, now, shown, status, summary, template } from "./state.mjs";

const { parse, text } = parser;

export function operations(graph, known, store) {
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
