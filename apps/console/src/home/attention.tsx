// What somebody should look at, most urgent first.
import { Text } from "@mantine/core";
import { CircleCheck } from "lucide-react";
import { Empty } from "../ui/empty.tsx";
import { ErrorPanel } from "../ui/error-panel.tsx";
import { arnName } from "../ui/format.ts";
import { TextLink } from "../ui/link.tsx";
import { Panel } from "../ui/panel.tsx";
import { useRouteExists } from "../ui/route-exists.ts";
import { StatusBadge } from "../ui/status-badge.tsx";
import { When } from "../ui/when.tsx";
import classes from "./list.module.css";
import type { Overview } from "./use-overview.ts";

const SHOWN = 8;

export function Attention({ overview }: { overview: Overview }) {
  const { cores, deployments, flows } = overview;
  const exists = useRouteExists();
  const items = [
    ...(cores?.unhealthy ?? []).map((core) => ({
      key: `unhealthy ${core.coreDeviceThingName}`,
      badge: <StatusBadge state="UNHEALTHY" />,
      link: (
        <TextLink to="/core" search={{ name: core.coreDeviceThingName }}>
          {core.coreDeviceThingName}
        </TextLink>
      ),
      text: "A component is broken or a deployment failed.",
    })),
    ...(deployments?.failed ?? []).map((one) => ({
      key: one.deploymentId,
      badge: <StatusBadge state="FAILED" />,
      link: (
        <TextLink to="/deployment" search={{ id: one.deploymentId }}>
          {one.deploymentName || `Deployment to ${arnName(one.targetArn)}`}
        </TextLink>
      ),
      text: <When at={one.creationTimestamp} />,
    })),
    ...(flows?.failed ?? []).map((one) => ({
      key: one.id ?? "",
      badge: <StatusBadge state="FAILED" />,
      link: exists("/live") ? <TextLink to="/live">{shortName(one.id)}</TextLink> : shortName(one.id),
      text: "The flow deployment failed.",
    })),
    ...(cores?.silent ?? []).map((core) => ({
      key: `silent ${core.coreDeviceThingName}`,
      badge: <StatusBadge state="Silent" look="SILENT" />,
      link: (
        <TextLink to="/core" search={{ name: core.coreDeviceThingName }}>
          {core.coreDeviceThingName}
        </TextLink>
      ),
      text: (
        <>
          Last report <When at={core.lastStatusUpdateTimestamp} />
        </>
      ),
    })),
  ];
  return (
    <Panel title="Needs attention" flush>
      {overview.failed !== undefined && overview.failed !== null && <ErrorPanel error={overview.failed} />}
      {items.length === 0 ? (
        <Empty icon={CircleCheck} title="Nothing needs you" />
      ) : (
        <ul className={classes.list}>
          {items.slice(0, SHOWN).map((item) => (
            <li key={item.key} className={classes.item}>
              <div className={classes.words}>
                <Text size="sm" fw={550} component="div">
                  {item.link}
                </Text>
                <Text size="xs" c="dimmed" component="div">
                  {item.text}
                </Text>
              </div>
              {item.badge}
            </li>
          ))}
        </ul>
      )}
      {items.length > SHOWN && (
        <Text size="xs" c="dimmed" p="sm">
          and {items.length - SHOWN} more
        </Text>
      )}
    </Panel>
  );
}

/** The last part of a URN. */
function shortName(urn: string | undefined): string {
  return (urn ?? "").split(":").pop() ?? "";
}
