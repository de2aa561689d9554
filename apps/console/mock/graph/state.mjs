// Templates, deployments and executions as the scripted server keeps and shows them.
import { Fault } from "../server.mjs";
import { arn } from "../world.mjs";
import { parser } from "./parser.mjs";

const { directive, parse, text } = parser;

export function template(kept, id, document) {
  const before = kept.get(key(id));
  const revisions = [...(before?.revisions ?? []), { text: document, createdAt: now() }];
  const made = { id, revisions, deprecated: false };
  kept.set(key(id), made);
  return summary(made);
}

export const summary = ({ id, revisions }, revision = revisions.length) => ({
  id,
  arn: arn(`${id.includes(":System:") ? "System" : "Workflow"}/default/${id.split(":").at(-1)}`, "iotthingsgraph"),
  revisionNumber: revision,
  createdAt: revisions[0].createdAt,
});

export function idIn(document, name) {
  const found = parse(document).flatMap((one) => directive(one.directives, name) ?? [])[0];
  const id = found && text(found.args, "id");
  if (!id) throw new Fault(400, "InvalidRequestException", `TDM2005 1:1: the document needs exactly one @${name}`);
  return id;
}

export function deploy(graph, document, input, status = "NOT_DEPLOYED") {
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

export const shown = ({ id, arn: name, status, target, greengrassGroupName, createdAt, updatedAt }) => ({
  id,
  arn: name,
  status,
  target,
  greengrassGroupName,
  createdAt,
  updatedAt,
});

export const happened = (execution) => execution.messages.filter((message) => message.at <= Date.now());

export function status(execution) {
  const last = happened(execution).at(-1)?.type ?? "";
  return (
    { EXECUTION_SUCCEEDED: "SUCCEEDED", EXECUTION_FAILED: "FAILED", EXECUTION_ABORTED: "ABORTED" }[last] ?? "RUNNING"
  );
}

export const key = (urn) => urn.toLowerCase();

export const now = () => Date.now() / 1000;

export const missing = (what) => new Fault(400, "ResourceNotFoundException", `${what} does not exist`);
