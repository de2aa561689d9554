// What a deployment is made of, as the steps of the deploy page fill it in.
import { makeUrn, toName, urnKey } from "../../models/urn.ts";
import type { Flow } from "../drawing.ts";
import {
  type DeploymentForm,
  defaultValues,
  type Role,
  storedTriggers,
  type TriggerForm,
  writeDeployment,
  writeSystem,
} from "../publish.ts";

export interface DeployForm {
  /** URN of a system that exists; null: one is made. */
  readonly system: string | null;
  readonly systemName: string;
  readonly roles: readonly Role[];
  /** Name of the flow's role in the system. */
  readonly flowRole: string;
  readonly name: string;
  readonly target: "CLOUD" | "GREENGRASS";
  readonly roleArn: string;
  readonly group: string;
  readonly bucket: string;
  /** By role name. */
  readonly things: Readonly<Record<string, string>>;
  readonly triggers: readonly TriggerForm[];
}

export function firstForm(flow: Flow, roles: readonly Role[]): DeployForm {
  return {
    system: null,
    systemName: `${flow.name}System`,
    roles,
    flowRole: flow.name,
    name: flow.name,
    target: "CLOUD",
    roleArn: "",
    group: "",
    bucket: "",
    things: {},
    triggers: storedTriggers(flow, roles),
  };
}

export const systemUrn = (namespace: string, form: DeployForm) =>
  form.system ?? makeUrn(namespace, "System", toName(form.systemName));
export const deploymentUrn = (namespace: string, form: DeployForm) =>
  makeUrn(namespace, "Deployment", toName(form.name));

/** The system document; null when one that exists is used. */
export function systemText(namespace: string, form: DeployForm, flow: Flow): string | null {
  if (form.system !== null) return null;
  return writeSystem(namespace, toName(form.systemName), "", form.roles, { urn: flow.urn ?? "", name: form.flowRole });
}

export function deploymentText(namespace: string, form: DeployForm): string {
  const bindings = form.roles.map((role) => ({ role: role.name, thing: form.things[role.name] ?? "" }));
  const made: DeploymentForm = {
    name: toName(form.name),
    systemUrn: systemUrn(namespace, form),
    bindings,
    triggers: form.triggers,
    flowRole: form.flowRole,
  };
  return writeDeployment(namespace, made);
}

/** What is missing at each step; an empty list means the step is done. */
export function stepProblems(
  form: DeployForm,
  flow: Flow,
  takenDeployments: ReadonlySet<string>,
  takenSystems: ReadonlySet<string>,
  namespace: string,
): string[][] {
  const system: string[] = [];
  if (form.system === null) {
    if (toName(form.systemName) === "") system.push("The system needs a name.");
    else if (takenSystems.has(urnKey(systemUrn(namespace, form))))
      system.push("A system of this name exists: choose it, or another name.");
  }
  const where: string[] = [];
  if (toName(form.name) === "") where.push("The deployment needs a name.");
  else if (takenDeployments.has(urnKey(deploymentUrn(namespace, form))))
    where.push("A deployment of this name exists.");
  if (form.target === "CLOUD" && !/^arn:[^:]+:iam::\d*:role\/.+/.test(form.roleArn))
    where.push("Choose the role the flow acts with.");
  if (form.target === "GREENGRASS" && form.group === "") where.push("Choose the gateway's group.");
  if (form.target === "GREENGRASS" && form.bucket === "") where.push("Name the bucket that takes the flow's package.");
  const things = form.roles.filter((role) => !form.things[role.name]).map((role) => `Bind “${role.name}” to a thing.`);
  const triggers = form.triggers.flatMap((trigger) => {
    const found: string[] = [];
    if (toName(trigger.name) === "") found.push("Every trigger needs a name.");
    if (trigger.kind === "clock" && !(trigger.every >= 1))
      found.push(`“${trigger.name}” needs an interval of at least 1.`);
    if (trigger.kind === "event" && (trigger.role === "" || trigger.event === ""))
      found.push(`“${trigger.name}” needs a device and its event.`);
    for (const [index, parameter] of flow.parameters.entries()) {
      if (parameter.required && parameter.default === undefined && !trigger.values[index]?.trim())
        found.push(`“${trigger.name}” gives nothing for “${parameter.name}”.`);
    }
    return found;
  });
  return [system, where, things, triggers];
}

/** A trigger as it is first shown. */
export function newTrigger(kind: TriggerForm["kind"], form: DeployForm, flow: Flow): TriggerForm {
  const taken = new Set(form.triggers.map((one) => one.name.toLowerCase()));
  let name = kind === "clock" ? "Clock" : "Event";
  for (let number = 2; taken.has(name.toLowerCase()); number += 1)
    name = `${kind === "clock" ? "Clock" : "Event"}${number}`;
  const values = defaultValues(flow, form.roles);
  return kind === "clock"
    ? { kind, name, every: 1, unit: "hour", values }
    : { kind, name, role: "", event: "", when: "", values };
}
