// The picture of a capability: states, events and actions around it.
import {
  Background,
  BackgroundVariant,
  type Edge,
  Handle,
  type Node,
  type NodeProps,
  Position,
  ReactFlow,
} from "@xyflow/react";
import "@xyflow/react/dist/style.css";
import { useComputedColorScheme } from "@mantine/core";
import { memo, useMemo } from "react";
import { useGo } from "../ui/link.tsx";
import classes from "./capability-graph.module.css";
import type { Entity } from "./entity.ts";
import { capabilityGraph, type GraphNode, nodeHeight } from "./graph.ts";
import { MetatypeIcon } from "./metatypes.tsx";
import { metatypeOf, urnName } from "./urn.ts";

type MemberNode = Node<{ node: GraphNode }, "member">;

const Member = memo(function Member({ data }: NodeProps<MemberNode>) {
  const { node } = data;
  return (
    <div className={classes.node} data-kind={node.kind}>
      {node.kind !== "capability" && (
        <Handle type="target" position={Position.Left} className={classes.handle} isConnectable={false} />
      )}
      <div className={classes.head}>
        <MetatypeIcon metatype={metatypeOf(node.urn) ?? "Property"} size={16} />
        <span className={classes.words}>
          <span className={classes.title}>{node.title}</span>
          <span className={classes.role}>
            {node.role === "action" || node.role === "event" ? `${node.role} · ${urnName(node.urn)}` : node.role}
          </span>
        </span>
      </div>
      {node.lines.length > 0 && (
        <ul className={classes.lines}>
          {node.lines.map((line) => (
            <li key={line}>{line}</li>
          ))}
        </ul>
      )}
      <Handle type="source" position={Position.Right} className={classes.handle} isConnectable={false} />
    </div>
  );
});

const nodeTypes = { member: Member };

export function CapabilityGraph({ capability, known }: { capability: Entity; known: ReadonlyMap<string, Entity> }) {
  const scheme = useComputedColorScheme("light");
  const go = useGo();
  const { nodes, edges, height } = useMemo(() => {
    const graph = capabilityGraph(capability, known);
    const bottom = Math.max(...graph.nodes.map((node) => node.y + nodeHeight(node.lines.length)));
    return {
      nodes: graph.nodes.map(
        (node): MemberNode => ({
          id: node.id,
          type: "member",
          position: { x: node.x, y: node.y },
          data: { node },
          initialWidth: 250,
          initialHeight: nodeHeight(node.lines.length),
          ariaLabel: `${node.role} ${node.title}: ${node.lines.join(", ") || urnName(node.urn)}`,
        }),
      ),
      edges: graph.edges.map((edge): Edge => ({ ...edge, type: "smoothstep", focusable: false })),
      height: Math.min(560, Math.max(180, bottom + 60)),
    };
  }, [capability, known]);
  return (
    <div
      className={classes.graph}
      ref={(box) => void box?.style.setProperty("height", `${height}px`)}
      data-testid="capability-graph"
    >
      <ReactFlow<MemberNode>
        key={capability.id + known.size}
        nodes={nodes}
        edges={edges}
        nodeTypes={nodeTypes}
        colorMode={scheme}
        fitView
        fitViewOptions={{ padding: 0.08, maxZoom: 1 }}
        minZoom={0.1}
        nodesDraggable={false}
        nodesConnectable={false}
        deleteKeyCode={null}
        zoomOnScroll={false}
        preventScrolling={false}
        onNodeClick={(_, node) => go({ to: "/models/entity", search: { id: node.data.node.urn } })}
        ariaLabelConfig={{ "node.a11yDescription.default": "A member of the capability." }}
        proOptions={{ hideAttribution: true }}
      >
        <Background variant={BackgroundVariant.Dots} gap={22} size={1.4} />
      </ReactFlow>
    </div>
  );
}
