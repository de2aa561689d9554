// Deploys a flow in five steps: system, target, things, triggers, and the plan of what it newly allows.
import { Alert, Button, Group, Skeleton, Stepper } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { CircleAlert, Rocket } from "lucide-react";
import { useMemo, useState } from "react";
import { useSession } from "../../api/session.ts";
import { useLibrary } from "../../models/library.ts";
import { privateNamespace, sameUrn, urnKey, urnName } from "../../models/urn.ts";
import { language } from "../../tdm-editor/service.ts";
import { Empty } from "../../ui/empty.tsx";
import { ErrorPanel } from "../../ui/error-panel.tsx";
import { ButtonLink, useParam } from "../../ui/link.tsx";
import { Page } from "../../ui/page.tsx";
import { useDeployments, useSystems, useTemplate } from "../api.ts";
import type { Flow } from "../drawing.ts";
import { rolesOf } from "../publish.ts";
import classes from "./deploy-page.module.css";
import { type DeployForm, firstForm, stepProblems } from "./form.ts";
import { PlanStep } from "./plan-step.tsx";
import { useRun } from "./run.ts";
import { type StepProps, SystemStep } from "./system-step.tsx";
import { TargetStep } from "./target-step.tsx";
import { ThingsStep } from "./things-step.tsx";
import { TriggersStep } from "./triggers-step.tsx";

const LIBRARY = ["DEVICE_MODEL", "DEVICE", "SERVICE", "CAPABILITY"] as const;

export function DeployPage() {
  const urn = useParam("flow");
  const template = useTemplate("Flow", urn);
  const text = template.data?.definition.text;
  const drawn = useQuery({
    queryKey: ["tdm-flow", text],
    queryFn: ({ signal }) => language.flow(text ?? "", signal),
    enabled: text !== undefined,
  });
  const parent = { label: "Flows", to: "/flows" };
  const title = urn ? `Deploy ${urnName(urn)}` : "Deploy";
  const flow = drawn.data?.flows.find((one) => one.urn && urn && sameUrn(one.urn, urn)) ?? drawn.data?.flows[0];
  if (flow && urn) return <Deploy key={urn} flow={flow} />;
  const error = template.error ?? drawn.error;
  return (
    <Page title={title} parent={parent}>
      {error ? (
        <ErrorPanel error={error} retry={() => void template.refetch()} />
      ) : !urn || template.data === null || (drawn.isSuccess && !flow) ? (
        <Empty icon={Rocket} title="There is no such flow" action={<ButtonLink to="/flows">All flows</ButtonLink>}>
          Save the flow in the designer first; what is deployed is what is saved.
        </Empty>
      ) : (
        <Skeleton h={360} />
      )}
    </Page>
  );
}

function Deploy({ flow }: { flow: Flow }) {
  const session = useSession();
  const namespace = privateNamespace(session.region, session.account);
  const library = useLibrary(LIBRARY);
  const deployments = useDeployments(false);
  const systems = useSystems();
  const [step, setStep] = useState(0);
  const [form, setForm] = useState<DeployForm>(() => firstForm(flow, rolesOf(flow)));
  const run = useRun(form, flow, namespace);
  const change: StepProps["onChange"] = (part) =>
    setForm((before) => ({ ...before, ...(typeof part === "function" ? part(before) : part) }));
  const settled = run.state === "idle";
  const taken = useMemo(
    () => new Set(settled ? deployments.items.map((one) => urnKey(one.id)) : []),
    [deployments.items, settled],
  );
  const takenSystems = useMemo(
    () => new Set(settled ? systems.items.map((one) => urnKey(one.id)) : []),
    [systems.items, settled],
  );
  const problems = stepProblems(form, flow, taken, takenSystems, namespace);
  const now = problems[step] ?? [];
  const ready = problems.every((list) => list.length === 0);
  const shared = { form, flow, library: library.all, onChange: change };
  return (
    <Page
      title={`Deploy ${flow.name}`}
      parent={{ label: "Flows", to: "/flows" }}
      description="The same flow can run in many places. A deployment binds it to things and says when it starts."
    >
      {library.isError && <ErrorPanel error={library.error} retry={() => void library.refetch()} />}
      <Stepper
        active={step}
        onStepClick={setStep}
        size="sm"
        allowNextStepsSelect={problems.slice(0, step + 1).every((list) => list.length === 0)}
        classNames={{ content: classes.content ?? "" }}
      >
        <Stepper.Step label="System" description="What there is">
          <SystemStep {...shared} />
        </Stepper.Step>
        <Stepper.Step label="Where" description="Cloud or gateway">
          <TargetStep {...shared} namespace={namespace} />
        </Stepper.Step>
        <Stepper.Step label="Things" description="Who plays what">
          <ThingsStep {...shared} />
        </Stepper.Step>
        <Stepper.Step label="Triggers" description="When it starts">
          <TriggersStep {...shared} />
        </Stepper.Step>
        <Stepper.Step label="Plan" description="What it allows">
          <PlanStep {...shared} namespace={namespace} run={run} ready={ready} />
        </Stepper.Step>
      </Stepper>
      {step < 4 && now.length > 0 && (
        <Alert color="gray" icon={<CircleAlert size={17} aria-hidden />} maw={680}>
          {now.length === 1 ? (
            now[0]
          ) : (
            <ul className={classes.todo}>
              {now.map((problem) => (
                <li key={problem}>{problem}</li>
              ))}
            </ul>
          )}
        </Alert>
      )}
      {step < 4 && (
        <Group>
          <Button variant="default" disabled={step === 0} onClick={() => setStep(step - 1)}>
            Back
          </Button>
          <Button disabled={now.length > 0} onClick={() => setStep(step + 1)}>
            Next
          </Button>
        </Group>
      )}
    </Page>
  );
}
