// A connection on the canvas: which event leads from one step to the next; lit when it happened in the run shown.
import { BaseEdge, type Edge, type EdgeProps, getBezierPath } from "@xyflow/react";
import { memo, useContext, useSyncExternalStore } from "react";
import { RunContext } from "../live/run-store.ts";
import type { FlowEdge } from "./drawing.ts";
import classes from "./event-edge.module.css";
import { EDGE_LEGEND } from "./kinds.tsx";

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
  const [path, labelX, labelY] = getBezierPath({ sourceX, sourceY, targetX, targetY, sourcePosition, targetPosition });
  return (
    <g
      className={classes.edge}
      data-kind={data?.edge.kind}
      data-happened={happened || undefined}
      data-selected={selected || undefined}
    >
      <BaseEdge
        {...(selected && data ? { label: told(data.edge), labelX, labelY, ...LABEL } : {})}
        path={path}
        interactionWidth={18}
        {...(markerEnd ? { markerEnd } : {})}
      />
    </g>
  );
}

const LABEL = {
  labelBgBorderRadius: 9,
  labelBgPadding: [8, 4] as [number, number],
};

/** What a chosen connection says of itself. */
function told(edge: FlowEdge): string {
  const words = EDGE_LEGEND[edge.kind];
  return edge.event ? `${words}: ${edge.event}` : words;
}

export const EventEdge = memo(EventEdgeView);
