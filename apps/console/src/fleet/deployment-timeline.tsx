// What happened when: the deployment was made, told, carried out.
import { Text, Timeline } from "@mantine/core";
import { CircleDot, CircleX, Flag, Rocket, Send } from "lucide-react";
import type { ReactNode } from "react";
import { count } from "../ui/format.ts";
import { Panel } from "../ui/panel.tsx";
import { When } from "../ui/when.tsx";
import { type Moment, moments } from "./moments.ts";
import type { Deployment } from "./types.ts";
import type { Execution } from "./waiting.ts";

const ICONS: Record<Moment["kind"], ReactNode> = {
  made: <Rocket size={13} aria-hidden />,
  begun: <Send size={13} aria-hidden />,
  done: <CircleDot size={13} aria-hidden />,
  failed: <CircleX size={13} aria-hidden />,
  over: <Flag size={13} aria-hidden />,
};

export function DeploymentTimeline({ deployment, executions }: { deployment: Deployment; executions: Execution[] }) {
  const all = moments(deployment, executions);
  return (
    <Panel title="Timeline">
      <Timeline bulletSize={24} lineWidth={2} active={all.length}>
        {all.map((moment) => (
          <Timeline.Item
            key={`${moment.kind}-${moment.at}-${moment.things[0] ?? ""}`}
            bullet={ICONS[moment.kind]}
            color={moment.kind === "failed" ? "red" : "grass"}
            title={<Text size="sm">{title(moment)}</Text>}
          >
            <Text size="xs" c="dimmed">
              <When at={moment.at} />
            </Text>
          </Timeline.Item>
        ))}
      </Timeline>
    </Panel>
  );
}

function title({ kind, things }: Moment): string {
  const who = things.length === 1 ? things[0] : count(things.length, "core");
  if (kind === "made") return "The deployment was made";
  if (kind === "begun") return `${who} began`;
  if (kind === "done") return `${who} finished`;
  if (kind === "failed") return `${who} failed`;
  return "Nothing is left to do";
}
