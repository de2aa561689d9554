// What to do next: the way from nothing to a gateway that runs a flow, with what is done ticked off.
import { Text } from "@mantine/core";
import { Circle, CircleCheckBig } from "lucide-react";
import { useMayAll } from "../api/may.tsx";
import { TextLink } from "../ui/link.tsx";
import { Panel } from "../ui/panel.tsx";
import { useRouteExists } from "../ui/route-exists.ts";
import classes from "./list.module.css";
import type { May, Overview } from "./use-overview.ts";

interface Step {
  done: boolean;
  label: string;
  why: string;
  to: string;
  needs: string;
}

export function NextSteps({ overview, may }: { overview: Overview; may: May }) {
  const exists = useRouteExists();
  const { cores, components, deployments, flows } = overview;
  const steps: Step[] = [
    {
      done: (cores?.all.length ?? 0) > 0,
      label: "Add a core",
      why: "A gateway that runs components and flows next to your devices.",
      to: "/add-core",
      needs: "iot:CreateThing",
    },
    {
      done: (components?.all.length ?? 0) > 0,
      label: "Make a component",
      why: "A recipe says how your program is started, stopped and updated.",
      to: "/new-component",
      needs: "greengrass:CreateComponentVersion",
    },
    {
      done: (deployments?.all.length ?? 0) > 0,
      label: "Deploy it",
      why: "To one core first, then to a group.",
      to: "/new-deployment",
      needs: "greengrass:CreateDeployment",
    },
    {
      done: (flows?.all.length ?? 0) > 0,
      label: "Draw a flow",
      why: "Connect device events with actions and watch each step run.",
      to: "/flows",
      needs: "iotthingsgraph:CreateFlowTemplate",
    },
    {
      done: false,
      label: "See messages",
      why: "Subscribe to what devices publish, live.",
      to: "/mqtt",
      needs: "iot:Subscribe",
    },
    {
      done: false,
      label: "Ask who may do what",
      why: "Before somebody else asks you.",
      to: "/access",
      needs: "iam:SimulatePrincipalPolicy",
    },
  ];
  const { known, allowed } = useMayAll(steps.map((step) => ({ action: step.needs, resource: "*" })));
  const shown = steps.filter((step, index) => allowed[index] && exists(step.to));
  if (known && shown.length === 0) {
    const reads = Object.values(may).some(Boolean);
    return (
      <Panel title="Next">
        <Text size="sm" c="dimmed">
          {reads
            ? "You may read here. To change something, ask an administrator of this account for more rights."
            : "Your user has no rights yet. Ask an administrator of this account to attach a policy to it."}
        </Text>
      </Panel>
    );
  }
  return (
    <Panel title="Next" flush>
      <ul className={classes.list}>
        {shown.map((step) => (
          <li key={step.label} className={classes.item}>
            {step.done ? (
              <CircleCheckBig size={18} className={classes.done} aria-label="Done" />
            ) : (
              <Circle size={18} className={classes.open} aria-label="Open" />
            )}
            <div className={classes.words}>
              <Text size="sm" fw={550} component="div">
                <TextLink to={step.to}>{step.label}</TextLink>
              </Text>
              <Text size="xs" c="dimmed">
                {step.why}
              </Text>
            </div>
          </li>
        ))}
      </ul>
    </Panel>
  );
}
