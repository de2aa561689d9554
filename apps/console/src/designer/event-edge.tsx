// A connection on the canvas: which event leads from one step to the next; lit when it happened in the run shown.
import { BaseEdge, type Edge, type EdgeProps, getBezierPath } from "@xyflow/react";
import { memo, useContext, useSyncExternalStore } from "react";
import { RunContext } from "../live/run-store.ts";
import type { FlowEdge } from "./drawing.ts";
import classes from "./event-edge.module.css";

export interface EventData extends Record<string, unknown> {
  readonly edge: FlowEdge;
}

export type EventEdgeType = Edge<EventData, "event">;

function EventEdgeView(props: EdgeProps<EventEdgeType>) {
  const { sourceX, sourceY, targetX, targetY, sourcePosition, targetPosition, data, markerEnd, selected } = props;
  const store = useContext(RunContext);
  const event = data?.edge.event?.toLowerCase();
  const happened = useSyncExternalStore(store.subscribe, () => {
    const step = store.step(props.source);
    return step?.events.some((one) => one.toLowerCase() === event) ?? false;
  });
  const [path] = getBezierPath({ sourceX, sourceY, targetX, targetY, sourcePosition, targetPosition });
  return (
    <g
      className={classes.edge}
      data-kind={data?.edge.kind}
      data-happened={happened || undefined}
      data-selected={selected || undefined}
    >
      <BaseEdge path={path} interactionWidth={18} {...(markerEnd ? { markerEnd } : {})} />
    </g>
  );
}

export const EventEdge = memo(EventEdgeView);
