// Four numbers at a glance, each a way to its page.
import { Skeleton } from "@mantine/core";
import { Link } from "@tanstack/react-router";
import { Columns } from "../ui/panel.tsx";
import { useRouteExists } from "../ui/route-exists.ts";
import classes from "./tiles.module.css";
import type { May, Overview } from "./use-overview.ts";

export function Tiles({ overview, may, known }: { overview: Overview; may: May; known: boolean }) {
  if (!known) {
    return (
      <Columns min={12}>
        {[0, 1, 2, 3].map((index) => (
          <Skeleton key={index} h={92} />
        ))}
      </Columns>
    );
  }
  const { cores, deployments, components, flows } = overview;
  const bad = (cores?.unhealthy.length ?? 0) + (cores?.silent.length ?? 0);
  return (
    <Columns min={12}>
      {may.cores && (
        <Tile
          to="/cores"
          label="Cores healthy"
          value={cores && `${cores.healthy}`}
          of={cores && `of ${cores.all.length}${cores.more ? "+" : ""}`}
          note={cores && (bad > 0 ? `${bad} need a look` : cores.all.length === 0 ? "None yet" : "All is well")}
          alarm={bad > 0}
        />
      )}
      {may.deployments && (
        <Tile
          to="/deployments"
          label="Deployments"
          value={deployments && `${deployments.all.length}${deployments.more ? "+" : ""}`}
          of={deployments && deployments.active > 0 ? `${deployments.active} active` : undefined}
          note={deployments && (deployments.failed.length > 0 ? `${deployments.failed.length} failed` : "None failed")}
          alarm={(deployments?.failed.length ?? 0) > 0}
        />
      )}
      {may.flows && (
        <Tile
          to="/live"
          label="Flows deployed"
          value={flows && `${flows.running}`}
          of={flows && `of ${flows.all.length}${flows.more ? "+" : ""}`}
          note={
            flows &&
            (flows.failed.length > 0
              ? `${flows.failed.length} failed`
              : flows.all.length === 0
                ? "None yet"
                : "None failed")
          }
          alarm={(flows?.failed.length ?? 0) > 0}
        />
      )}
      {may.components && (
        <Tile
          to="/components"
          label="Components"
          value={components && `${components.all.length}${components.more ? "+" : ""}`}
          note={components && (components.all.length === 0 ? "None yet" : "In this account")}
        />
      )}
    </Columns>
  );
}

function Tile(props: {
  to: string;
  label: string;
  value: string | undefined;
  of?: string | undefined;
  note?: string | undefined;
  alarm?: boolean;
}) {
  const exists = useRouteExists();
  return (
    <Link to={exists(props.to) ? props.to : "/"} className={classes.tile} data-alarm={props.alarm || undefined}>
      <span className={classes.label}>{props.label}</span>
      <span className={classes.value}>
        {props.value ?? "–"} {props.of && <span className={classes.of}>{props.of}</span>}
      </span>
      <span className={classes.note}>{props.note ?? " "}</span>
    </Link>
  );
}
