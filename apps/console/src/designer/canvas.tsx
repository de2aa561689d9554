// The drawing surface: shows a flow, turns what hands and keys do into edits of the document.
import {
  Background,
  BackgroundVariant,
  type Connection,
  ConnectionMode,
  Controls,
  type EdgeChange,
  MiniMap,
  type NodeChange,
  Panel,
  ReactFlow,
  type ReactFlowInstance,
  useEdgesState,
  useNodesState,
} from "@xyflow/react";
import "@xyflow/react/dist/style.css";
import { useComputedColorScheme } from "@mantine/core";
import { type DragEvent, type ReactNode, useCallback, useEffect, useImperativeHandle, useMemo, useRef } from "react";
import type { Diagnostic } from "../tdm-editor/service.ts";
import classes from "./canvas.module.css";
import { canvasEdges, canvasNodes } from "./canvas-nodes.ts";
import { type EdgeKind, type Flow, nodeId, type Point } from "./drawing.ts";
import { EventEdge, type EventEdgeType } from "./event-edge.tsx";
import { EDGE_LEGEND } from "./kinds.tsx";
import { NEW_RULE, StepNode, type StepNodeType } from "./step-node.tsx";

/** What is chosen: nodes by their ids on the canvas (`nodeId`), or one connection. */
export interface Selection {
  readonly nodes: ReadonlySet<string>;
  readonly edge: string | null;
}

export const NOTHING: Selection = { nodes: new Set(), edge: null };

export interface CanvasHandle {
  select: (nodes: ReadonlySet<string>, edge?: string | null) => void;
  /** Brings steps into view; all of them without names. */
  fit: (names?: readonly string[]) => void;
  positions: () => Map<string, Point>;
  /** Canvas coordinates of the middle of what is seen. */
  middle: () => Point;
}

export interface CanvasProps {
  readonly flow: Flow;
  readonly diagnostics: readonly Diagnostic[];
  readonly readOnly?: boolean;
  readonly onSelect?: (selection: Selection) => void;
  readonly onMove?: (moves: readonly { id: string; at: Point }[]) => void;
  readonly onConnect?: (source: string, target: string, port: string | null) => void;
  readonly onRemove?: (nodes: readonly string[], edges: readonly string[]) => void;
  readonly onDropEntry?: (id: string, at: Point) => void;
  readonly handle?: React.Ref<CanvasHandle>;
  readonly children?: ReactNode;
}

const nodeTypes = { step: StepNode };
const edgeTypes = { event: EventEdge };
const MINIMAP = { width: 150, height: 96 };
/** Changes of size below this, in pixels, leave the view as it is. */
const RESIZED = 60;
/** Flows with fewer steps are seen whole: no overview is needed. */
const OVERVIEW_FROM = 8;
/** Flows with more steps open where they begin, large enough to be read. */
const WHOLE_UP_TO = 60;
const BEGINNING = 8;
const FIT = { padding: 0.12, maxZoom: 1.1, minZoom: 0.02 };
/** What is dragged from the palette. */
export const DRAG_TYPE = "application/x-marram-palette";
const SCREEN_READER = {
  "node.a11yDescription.default": "Enter or space selects the step, arrow keys move it, Delete removes it.",
  "node.a11yDescription.keyboardDisabled": "Enter or space selects the step.",
  "edge.a11yDescription.default": "Enter or space selects the connection, Delete removes it.",
  "controls.ariaLabel": "View",
  "minimap.ariaLabel": "Overview of the flow",
};

export function Canvas(props: CanvasProps) {
  const { flow, diagnostics, readOnly = false } = props;
  const [nodes, setNodes, applyNodes] = useNodesState<StepNodeType>([]);
  const [edges, setEdges, applyEdges] = useEdgesState<EventEdgeType>([]);
  const scheme = useComputedColorScheme("light");
  const instance = useRef<ReactFlowInstance<StepNodeType, EventEdgeType> | null>(null);
  const latest = useRef(props);
  latest.current = props;
  const shown = useRef<string | null>(null);
  const wanted = useRef<ReadonlySet<string> | null>(null);
  const box = useRef<HTMLDivElement>(null);

  useEffect(() => {
    const key = flow.urn ?? flow.name;
    const fresh = shown.current !== key;
    shown.current = key;
    const select = wanted.current;
    wanted.current = null;
    setNodes((before) => canvasNodes(flow, diagnostics, fresh ? [] : before, select));
    setEdges((before) => canvasEdges(flow, fresh ? [] : before));
    if (fresh) requestAnimationFrame(() => begin(instance.current));
  }, [flow, diagnostics, setNodes, setEdges]);

  // The whole flow stays in view when panels open beside or below it.
  useEffect(() => {
    const area = box.current;
    if (!area) return;
    let known = area.getBoundingClientRect();
    let timer: ReturnType<typeof setTimeout> | undefined;
    const observer = new ResizeObserver(() => {
      const now = area.getBoundingClientRect();
      if (Math.abs(now.width - known.width) + Math.abs(now.height - known.height) < RESIZED) return;
      known = now;
      clearTimeout(timer);
      const small = latest.current.flow.nodes.length <= WHOLE_UP_TO;
      if (small) timer = setTimeout(() => void instance.current?.fitView(FIT), 60);
    });
    observer.observe(area);
    return () => {
      clearTimeout(timer);
      observer.disconnect();
    };
  }, []);

  useImperativeHandle(
    props.handle,
    () => ({
      select: (names, edge = null) => {
        // Steps that the next drawing brings are chosen when it arrives.
        wanted.current = names;
        setNodes((before) =>
          before.map((node) =>
            node.selected === names.has(node.id) ? node : { ...node, selected: names.has(node.id) },
          ),
        );
        setEdges((before) =>
          before.map((one) => (one.selected === (one.id === edge) ? one : { ...one, selected: one.id === edge })),
        );
        if ([...names].every((name) => latest.current.flow.nodes.some((node) => nodeId(node) === name)))
          wanted.current = null;
      },
      fit: (names) => {
        const some = names ? { nodes: names.map((id) => ({ id })), maxZoom: 1.1 } : {};
        requestAnimationFrame(() => void instance.current?.fitView({ ...FIT, ...some }));
      },
      positions: () => new Map((instance.current?.getNodes() ?? []).map((node) => [node.id, node.position])),
      middle: () => {
        const area = box.current?.getBoundingClientRect();
        const at =
          area && instance.current?.screenToFlowPosition({ x: area.x + area.width / 2, y: area.y + area.height / 2 });
        return at ?? { x: 0, y: 0 };
      },
    }),
    [setNodes, setEdges],
  );

  const nodesChanged = useCallback(
    (changes: NodeChange<StepNodeType>[]) => {
      applyNodes(changes);
      const moves = changes.flatMap((change) => {
        if (change.type !== "position" || change.dragging === true || !change.position) return [];
        const drawn = latest.current.flow.nodes.find((node) => nodeId(node) === change.id);
        const at = { x: Math.round(change.position.x), y: Math.round(change.position.y) };
        const before = drawn?.position ?? moved.current.get(change.id);
        if (!drawn || (before && before.x === at.x && before.y === at.y)) return [];
        return [{ id: change.id, at }];
      });
      if (moves.length > 0) latest.current.onMove?.(moves);
    },
    [applyNodes],
  );
  /** Where steps without a position of their own stood when they were grabbed. */
  const moved = useRef(new Map<string, Point>());
  const grabbed = useCallback((_: unknown, __: unknown, taken: StepNodeType[]) => {
    for (const node of taken)
      moved.current.set(node.id, { x: Math.round(node.position.x), y: Math.round(node.position.y) });
  }, []);

  const edgesChanged = useCallback((changes: EdgeChange<EventEdgeType>[]) => applyEdges(changes), [applyEdges]);

  const selected = useCallback(({ nodes: some, edges: lines }: { nodes: StepNodeType[]; edges: EventEdgeType[] }) => {
    const first = lines[0];
    latest.current.onSelect?.({
      nodes: new Set(some.map((node) => node.id)),
      edge: some.length === 0 && first ? first.id : null,
    });
  }, []);

  const connected = useCallback((made: Connection) => {
    const port = made.sourceHandle === NEW_RULE ? null : made.sourceHandle;
    latest.current.onConnect?.(made.source, made.target, port);
  }, []);

  /** What is removed goes when the document has changed. */
  const removing = useCallback(
    async ({ nodes: some, edges: lines }: { nodes: StepNodeType[]; edges: EventEdgeType[] }) => {
      const names = some.filter((node) => node.deletable !== false).map((node) => node.id);
      const gone = new Set(names);
      const loose = lines.filter(
        (edge) => edge.deletable !== false && !gone.has(edge.source) && !gone.has(edge.target),
      );
      if (names.length + loose.length > 0)
        latest.current.onRemove?.(
          names,
          loose.map((edge) => edge.id),
        );
      return false;
    },
    [],
  );

  const dropped = useCallback((event: DragEvent) => {
    const id = event.dataTransfer.getData(DRAG_TYPE);
    const at = instance.current?.screenToFlowPosition({ x: event.clientX, y: event.clientY });
    if (id === "" || !at) return;
    event.preventDefault();
    latest.current.onDropEntry?.(id, { x: Math.round(at.x - 124), y: Math.round(at.y - 30) });
  }, []);

  const colour = useMemo(() => minimapColour(scheme), [scheme]);

  return (
    <div className={classes.canvas} ref={box} data-testid="canvas">
      <ReactFlow<StepNodeType, EventEdgeType>
        nodes={nodes}
        edges={edges}
        nodeTypes={nodeTypes}
        edgeTypes={edgeTypes}
        onNodesChange={nodesChanged}
        onEdgesChange={edgesChanged}
        onNodeDragStart={grabbed}
        onSelectionChange={selected}
        onConnect={connected}
        onBeforeDelete={removing}
        onInit={(made) => {
          instance.current = made;
          begin(made);
        }}
        onDragOver={(event) => {
          if (event.dataTransfer.types.includes(DRAG_TYPE)) event.preventDefault();
        }}
        onDrop={dropped}
        colorMode={scheme}
        connectionMode={ConnectionMode.Strict}
        nodesDraggable={!readOnly}
        nodesConnectable={!readOnly}
        deleteKeyCode={readOnly ? null : ["Delete", "Backspace"]}
        multiSelectionKeyCode={["Meta", "Control", "Shift"]}
        selectionKeyCode="Shift"
        ariaLabelConfig={SCREEN_READER}
        onlyRenderVisibleElements
        elevateEdgesOnSelect
        minZoom={FIT.minZoom}
        maxZoom={2}
        fitViewOptions={FIT}
        proOptions={{ hideAttribution: true }}
      >
        <Background variant={BackgroundVariant.Dots} gap={22} size={1.4} />
        <Controls showInteractive={false} fitViewOptions={FIT} />
        {flow.nodes.length >= OVERVIEW_FROM && (
          <MiniMap
            style={MINIMAP}
            pannable
            zoomable
            nodeColor={colour}
            nodeBorderRadius={12}
            nodeStrokeWidth={0}
            ariaLabel="Overview of the flow"
          />
        )}
        <Legend flow={flow} />
        {props.children && <Panel position="top-center">{props.children}</Panel>}
      </ReactFlow>
    </div>
  );
}

/** Shows what is seen when a flow is opened: all of it, of a large one the beginning. */
function begin(instance: ReactFlowInstance<StepNodeType, EventEdgeType> | null) {
  const nodes = instance?.getNodes() ?? [];
  // Asked for while there is nothing, the whole would be shown as soon as there is something.
  if (nodes.length > 0) void instance?.fitView(nodes.length <= WHOLE_UP_TO ? FIT : beginning(nodes));
}

function beginning(nodes: readonly StepNodeType[]) {
  const first = [...nodes].sort((one, other) => one.position.x - other.position.x || one.position.y - other.position.y);
  return { ...FIT, minZoom: 0.45, nodes: first.slice(0, BEGINNING).map(({ id }) => ({ id })) };
}

/** What the lines mean, for those that are on the drawing; nothing where all are of the plain kind. */
function Legend({ flow }: { flow: Flow }) {
  const kinds = useMemo(() => [...new Set(flow.edges.map((edge) => edge.kind))].sort(byLegend), [flow]);
  if (kinds.length < 2 && (kinds[0] === undefined || kinds[0] === "success")) return null;
  return (
    <Panel position="bottom-center" className={classes.legend ?? ""}>
      {kinds.map((kind) => (
        <span key={kind} className={classes.kind} data-kind={kind}>
          {EDGE_LEGEND[kind]}
        </span>
      ))}
    </Panel>
  );
}

const LEGEND = Object.keys(EDGE_LEGEND);
const byLegend = (one: EdgeKind, other: EdgeKind) => LEGEND.indexOf(one) - LEGEND.indexOf(other);

function minimapColour(scheme: "light" | "dark") {
  const tones =
    scheme === "dark" ? ["#2fa584", "#748ffc", "#9775fa", "#5c6764"] : ["#7bcab2", "#91a7ff", "#b197fc", "#c2c9c6"];
  const index = { device: 0, service: 1, choice: 2, clock: 3, event: 3, unknown: 3, flow: 2, system: 1, value: 3 };
  return (node: StepNodeType) => tones[index[node.data.node.kind]] ?? "#c2c9c6";
}
