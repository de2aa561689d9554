// Carries a deployment out: system, deployment, target; each step with what became of it.
import { useQueryClient } from "@tanstack/react-query";
import { useRef, useState } from "react";
import { call } from "../../api/call.ts";
import { sentence } from "../../ui/format.ts";
import { type Deployment, type DeploymentSummary, definition, GRAPH, IN_PROGRESS, TEMPLATE_KEYS } from "../api.ts";
import type { Flow } from "../drawing.ts";
import { type DeployForm, deploymentText, deploymentUrn, systemText } from "./form.ts";

export interface RunStep {
  readonly title: string;
  readonly state: "waiting" | "running" | "done" | "failed";
  readonly detail?: string;
}

export interface Run {
  readonly state: "idle" | "running" | "done" | "failed";
  readonly steps: readonly RunStep[];
  /** URN of the deployment once it exists. */
  readonly deployment: string | null;
  readonly start: () => void;
}

const POLL_MS = 700;
/** A gateway may be away; after this the page stops waiting, the deployment does not. */
const PATIENCE_MS = 90_000;

/** Follows a deployment until its status is final; `heard` gets each status. */
export async function follow(id: string, heard: (summary: DeploymentSummary) => void): Promise<DeploymentSummary> {
  const deadline = Date.now() + PATIENCE_MS;
  for (;;) {
    const { description } = await call<{ description: Deployment }>(GRAPH, "GetSystemInstance", { id });
    heard(description.summary);
    if (!IN_PROGRESS.has(description.summary.status) || Date.now() > deadline) return description.summary;
    await new Promise((done) => setTimeout(done, POLL_MS));
  }
}

export function useRun(form: DeployForm, flow: Flow, namespace: string): Run {
  const queries = useQueryClient();
  const [state, setState] = useState<Run["state"]>("idle");
  const [steps, setSteps] = useState<readonly RunStep[]>([]);
  const [deployment, setDeployment] = useState<string | null>(null);
  /** What already exists from a try that failed later. */
  const made = useRef({ system: "", deployment: "" });

  const start = async () => {
    const system = systemText(namespace, form, flow);
    const text = deploymentText(namespace, form);
    const titles = [
      ...(system === null ? [] : ["Save the system"]),
      "Create the deployment",
      form.target === "CLOUD" ? "Arm it in the control plane" : "Bring it to the gateway",
    ];
    let now: RunStep[] = titles.map((title) => ({ title, state: "waiting" }));
    const mark = (index: number, change: Partial<RunStep>) => {
      now = now.map((step, at) => (at === index ? { ...step, ...change } : step));
      setSteps(now);
    };
    setState("running");
    setSteps(now);
    let at = 0;
    try {
      if (system !== null) {
        mark(at, { state: "running" });
        if (made.current.system !== system)
          await call(GRAPH, "CreateSystemTemplate", { definition: definition(system) });
        made.current.system = system;
        mark(at, { state: "done" });
        at += 1;
      }
      mark(at, { state: "running", detail: "Everything the flow needs is checked" });
      if (made.current.deployment !== text) {
        const input = {
          definition: definition(text),
          target: form.target,
          ...(form.target === "CLOUD"
            ? { flowActionsRoleArn: form.roleArn }
            : { greengrassGroupName: form.group, s3BucketName: form.bucket }),
        };
        await call(GRAPH, "CreateSystemInstance", input);
      }
      made.current.deployment = text;
      const id = deploymentUrn(namespace, form);
      setDeployment(id);
      mark(at, { state: "done", detail: "" });
      at += 1;
      mark(at, { state: "running" });
      await call(GRAPH, "DeploySystemInstance", { id });
      const last = await follow(id, (summary) => mark(at, { detail: sentence(summary.status) }));
      if (last.status === "DEPLOYED_IN_TARGET") {
        mark(at, { state: "done", detail: "Deployed" });
        setState("done");
      } else if (IN_PROGRESS.has(last.status)) {
        mark(at, { detail: "The gateway has not answered yet. The deployment waits for it; watch it under Live." });
        setState("done");
      } else {
        mark(at, { state: "failed", detail: `The target answered: ${sentence(last.status)}` });
        setState("failed");
      }
    } catch (failure) {
      mark(at, { state: "failed", detail: failure instanceof Error ? failure.message : String(failure) });
      setState("failed");
    }
    for (const queryKey of [...TEMPLATE_KEYS, [GRAPH, "SearchSystemInstances"]])
      void queries.invalidateQueries({ queryKey });
  };
  return { state, steps, deployment, start: () => void start() };
}
