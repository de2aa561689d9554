// What the form of a deployment holds, its first mistake, and the request it becomes.
import type { Deployment } from "./types.ts";

export interface Choice {
  name: string;
  version: string;
  /** JSON text, or empty. */
  merge: string;
  /** JSON pointers. */
  reset: string[];
}

export interface Draft {
  name: string;
  targetArn: string;
  choices: Choice[];
  onFailure: string;
  /** Cores told a minute. */
  rate: number | undefined;
}

export function choicesOf(deployment: Deployment): Choice[] {
  return Object.entries(deployment.components ?? {}).map(([name, component]) => ({
    name,
    version: component.componentVersion,
    merge: component.configurationUpdate?.merge ?? "",
    reset: component.configurationUpdate?.reset ?? [],
  }));
}

/** Why the draft cannot be sent, or null. */
export function mistake(targetArn: string, choices: Choice[]): string | null {
  if (targetArn === "") return "Choose a target";
  for (const choice of choices) {
    if (choice.version === "") return `Choose a version of ${choice.name}`;
    if (choice.merge.trim() !== "" && !isObject(choice.merge))
      return `The configuration for ${choice.name} must be a JSON object`;
    if (choice.reset.some((pointer) => pointer !== "" && !pointer.startsWith("/")))
      return `What is reset in ${choice.name} starts with /`;
  }
  return null;
}

function isObject(text: string): boolean {
  try {
    const value: unknown = JSON.parse(text);
    return value !== null && typeof value === "object" && !Array.isArray(value);
  } catch {
    return false;
  }
}

/** The input of CreateDeployment. What the form does not show is taken over from the deployment that is revised. */
export function request(draft: Draft, base: Deployment | undefined): Record<string, unknown> {
  const components = Object.fromEntries(
    draft.choices.map((choice) => {
      const update = {
        ...(choice.merge.trim() !== "" && { merge: choice.merge }),
        ...(choice.reset.length > 0 && { reset: choice.reset }),
      };
      const kept = base?.components?.[choice.name];
      const changed = { ...kept, componentVersion: choice.version, configurationUpdate: update };
      const { configurationUpdate, ...plain } = changed;
      return [choice.name, Object.keys(update).length > 0 ? changed : plain];
    }),
  );
  const rollout = draft.rate === undefined ? {} : { jobExecutionsRolloutConfig: { maximumPerMinute: draft.rate } };
  const isGroup = draft.targetArn.includes(":thinggroup/");
  return {
    targetArn: draft.targetArn,
    ...(draft.name.trim() !== "" && { deploymentName: draft.name.trim() }),
    components,
    deploymentPolicies: { ...base?.deploymentPolicies, failureHandlingPolicy: draft.onFailure },
    ...(isGroup && { iotJobConfiguration: { ...withoutRollout(base), ...rollout } }),
  };
}

function withoutRollout(base: Deployment | undefined): Record<string, unknown> {
  const { jobExecutionsRolloutConfig: _, ...rest } = base?.iotJobConfiguration ?? {};
  return rest;
}
