// A step on the canvas: what it does, where it leaves to, what is wrong with it, how it stands in a run.
import { Handle, type Node, type NodeProps, Position, type ReactFlowState, useStore } from "@xyflow/react";
import { CircleAlert, Hourglass, ListChecks, Play, RotateCcw, TriangleAlert, Unplug } from "lucide-react";
import { memo } from "react";
import { duration, type StepView } from "../live/fold.ts";
import { useRunShown, useStepView } from "../live/run-store.ts";
import { type FlowNode, isTrigger } from "./drawing.ts";
import { KINDS } from "./kinds.tsx";
import { nodeHeight, portRows } from "./layout.ts";
import classes from "./step-node.module.css";

export interface StepData extends Record<string, unknown> {
  readonly node: FlowNode;
  readonly errors: number;
  readonly warnings: number;
}

export type StepNodeType = Node<StepData, "step">;

/** The source handle from which a new rule is drawn. */
export const NEW_RULE = "new-rule";
/** Kinds of steps that may fail. */
const FALLIBLE = new Set<FlowNode["kind"]>(["device", "service", "choice"]);

const STATE_WORDS: Readonly<Record<StepView["state"], string>> = {
  waiting: "waiting",
  running: "running",
  retrying: "trying again",
  succeeded: "done",
  caught: "failed, caught",
  failed: "failed",
  skipped: "skipped",
};

/** Below this zoom nobody reads what a step says: it is drawn as a box with its name. */
const FAR = 0.34;
const isFar = (state: ReactFlowState) => state.transform[2] < FAR;

declare global {
  /** Set by tests that count how often steps are drawn. */
  var marramStepDrawn: ((name: string) => void) | undefined;
}

function StepNodeView(props: NodeProps<StepNodeType>) {
  globalThis.marramStepDrawn?.(props.data.node.name);
  return useStore(isFar) ? <FarNode {...props} /> : <NearNode {...props} />;
}

function FarNode({ data, selected }: NodeProps<StepNodeType>) {
  const { node, errors } = data;
  const step = useStepView(node.name);
  return (
    <div
      className={classes.node}
      data-far
      data-kind={node.kind}
      data-run={step?.state}
      data-errors={errors > 0 || undefined}
      data-selected={selected || undefined}
      style={{ height: nodeHeight(node) }}
    >
      {node.name}
    </div>
  );
}

function NearNode({ data, selected, isConnectable }: NodeProps<StepNodeType>) {
  const { node, errors, warnings } = data;
  const Icon = KINDS[node.kind].icon;
  const rows = portRows(node);
  const trigger = isTrigger(node);
  const joins = node.inEvent?.kind === "all" && node.inEvent.events.length > 1;
  return (
    <div className={classes.node} data-kind={node.kind} data-selected={selected || undefined}>
      <RunMark name={node.name} />
      {(!trigger || node.inlet) && (
        <Handle type="target" position={Position.Left} id="in" className={classes.in} isConnectable={isConnectable} />
      )}
      <div className={classes.head}>
        <span className={classes.icon}>
          <Icon size={16} aria-hidden />
        </span>
        <span className={classes.words}>
          <span className={classes.name} title={node.name}>
            {node.name}
          </span>
          <span className={classes.sub} title={node.title}>
            {subtitle(node)}
          </span>
        </span>
        <span className={classes.marks}>
          {errors > 0 && (
            <span className={classes.error} title={`${errors} ${errors === 1 ? "error" : "errors"}`}>
              <CircleAlert size={15} aria-hidden />
            </span>
          )}
          {errors === 0 && warnings > 0 && (
            <span className={classes.warning} title={`${warnings} ${warnings === 1 ? "warning" : "warnings"}`}>
              <TriangleAlert size={15} aria-hidden />
            </span>
          )}
          {node.thing === null && (
            <span className={classes.warning} title="No thing is bound to it">
              <Unplug size={14} aria-hidden />
            </span>
          )}
          {node.start && (
            <span className={classes.mark} title="Runs when the flow starts">
              <Play size={13} aria-hidden />
            </span>
          )}
          {joins && (
            <span className={classes.mark} title="Waits for all of its events">
              <Hourglass size={13} aria-hidden />
            </span>
          )}
          {(node.onError?.retries.length ?? 0) > 0 && (
            <span className={classes.mark} title="Tries again when it fails">
              <RotateCcw size={13} aria-hidden />
            </span>
          )}
          {(node.onSuccess?.length ?? 0) > 0 && (
            <span className={classes.mark} title="Checks what came back">
              <ListChecks size={13} aria-hidden />
            </span>
          )}
        </span>
        {node.kind !== "choice" && (
          <Handle
            type="source"
            position={Position.Right}
            id={trigger ? "out" : "success"}
            className={classes.out}
            isConnectable={isConnectable && !node.readOnly}
          />
        )}
      </div>
      {node.inEvent !== undefined && FALLIBLE.has(node.kind) && !node.readOnly && isConnectable && (
        <Handle
          type="source"
          position={Position.Bottom}
          id="error"
          className={classes.fail}
          title="Draw from here: when it fails"
          isConnectable={isConnectable}
        />
      )}
      {(rows.length > 0 || node.kind === "choice") && (
        <div className={classes.rows}>
          {rows.map((output) => (
            <div key={output.port} className={classes.row} data-port={output.port.split(":")[0]}>
              <span className={classes.label}>{output.label}</span>
              {output.condition && (
                <code className={classes.condition} title={output.condition}>
                  {bare(output.condition)}
                </code>
              )}
              <Handle
                type="source"
                position={Position.Right}
                id={output.port}
                className={classes.out}
                isConnectable={isConnectable}
              />
            </div>
          ))}
          {node.kind === "choice" && (
            <div className={classes.row} data-port="new">
              <span className={classes.label}>draw from here: a new rule</span>
              <Handle
                type="source"
                position={Position.Right}
                id={NEW_RULE}
                className={classes.out}
                isConnectable={isConnectable}
              />
            </div>
          )}
        </div>
      )}
    </div>
  );
}

function subtitle(node: FlowNode): string {
  if (isTrigger(node)) return node.title;
  if (node.thing !== undefined) return `${node.title} · ${node.thing ?? "not bound"}`;
  return [node.kind === "choice" ? "Choice" : node.title, node.action].filter(Boolean).join(" · ");
}

/** An expression without its `${ }`. */
export function bare(expression: string): string {
  return /^\$\{([^{}]*)\}$/.exec(expression.trim())?.[1]?.trim() ?? expression;
}

function RunMark({ name }: { name: string }) {
  const step = useStepView(name);
  const shown = useRunShown();
  if (!shown) return null;
  const state = step?.state ?? "waiting";
  const took = step?.endedAt !== undefined ? duration(step.endedAt - step.startedAt) : "";
  const attempts = step && step.attempts.length > 1 ? `${step.attempts.length} attempts` : "";
  return (
    <div className={classes.run} data-state={state}>
      <span>{[STATE_WORDS[state], took, attempts].filter(Boolean).join(" · ")}</span>
    </div>
  );
}

export const StepNode = memo(StepNodeView);
