// The drawing of TDM documents as the language service gives it (crates/control/console/API.md).
import type { Diagnostic } from "../tdm-editor/service.ts";

export interface Point {
  readonly x: number;
  readonly y: number;
}

export interface Range {
  readonly from: number;
  readonly to: number;
}

export type Scalar = string | number | boolean | null;

export interface NodeArgument extends Range {
  readonly name: string;
  readonly type: string | null;
  readonly required?: boolean;
  readonly value: Scalar;
  readonly given?: boolean;
}

export interface Output {
  readonly port: string;
  readonly label: string;
  readonly condition: string | null;
  readonly events: readonly string[];
}

export interface Rule extends Range {
  readonly port: string;
  readonly name: string | null;
  readonly expr: string | null;
  readonly events: readonly string[];
  readonly variables: readonly { readonly name: string; readonly value: Scalar }[];
}

export interface Retry {
  readonly name: string | null;
  readonly errorEquals: readonly string[];
  readonly condition: string | null;
  readonly interval: string | number | null;
  readonly backoffRate: number | null;
  readonly maxAttempts: number | null;
}

export interface Catch {
  readonly name: string | null;
  readonly errorEquals: readonly string[];
  readonly condition: string | null;
  readonly raiseEvent: readonly string[];
  readonly expr: string | null;
}

export interface OnError extends Range {
  readonly retries: readonly Retry[];
  readonly catches: readonly Catch[];
}

export interface InEvent {
  readonly kind: "all" | "expression";
  readonly expression?: string;
  readonly events: readonly string[];
}

export type NodeKind = "device" | "service" | "choice" | "unknown" | "clock" | "event" | "flow" | "system" | "value";

export interface TriggerAction {
  readonly expr: string;
  /** Role of the flow that is started; null: no `startFlow`. */
  readonly flow: string | null;
  readonly values: readonly string[];
}

export interface Check {
  readonly name: string | null;
  readonly condition: string | null;
  readonly pass: readonly string[];
  readonly fail: readonly string[];
}

/** A step of a flow, a trigger, or a role of a system or deployment. */
export interface FlowNode extends Range {
  readonly name: string;
  readonly kind: NodeKind;
  readonly urn: string | null;
  readonly title: string;
  readonly description: string | null;
  readonly position: Point | null;
  readonly nameFrom?: number;
  readonly nameTo?: number;
  readonly problems: readonly number[];
  readonly readOnly: boolean;
  readonly start?: boolean;
  readonly inEvent?: InEvent | null;
  readonly condition?: string | null;
  readonly timeout?: string | null;
  readonly outputs?: readonly Output[];
  readonly capability?: string | null;
  readonly action?: string | null;
  readonly actions?: readonly string[];
  readonly arguments?: readonly NodeArgument[];
  readonly returns?: string | null;
  readonly deviceId?: ({ readonly value: Scalar } & Range) | null;
  readonly device?: string | null;
  readonly out?: string | null;
  readonly rules?: readonly Rule[];
  readonly onError?: OnError | null;
  readonly onSuccess?: readonly (Check & Range)[];
  /** Device events a trigger's condition names. */
  readonly listens?: readonly { readonly role: string; readonly event: string }[];
  /** What a trigger does. */
  readonly starts?: readonly TriggerAction[];
  /** Events a device of a system or deployment tells. */
  readonly events?: readonly string[];
  /** Of a deployment's device: the thing, null when nothing is bound. */
  readonly thing?: string | null;
  /** What a flow role is started with. */
  readonly parameters?: readonly { readonly name: string; readonly type: string; readonly required: boolean }[];
  /** The document keeps no place for it. */
  readonly fixed?: boolean;
  /** Edges may end at it though it is a trigger. */
  readonly inlet?: boolean;
}

export type EdgeKind = "triggers" | "choice" | "success" | "error" | "check" | "uses" | "listens";

export interface FlowEdge extends Range {
  readonly id: string;
  readonly source: string;
  readonly target: string;
  readonly port: string;
  readonly event: string | null;
  readonly label: string | null;
  readonly condition: string | null;
  readonly kind: EdgeKind;
}

export interface Flow extends Range {
  readonly urn: string | null;
  readonly name: string;
  readonly description: string | null;
  readonly parameters: readonly ({
    readonly name: string;
    readonly type: string;
    readonly required?: boolean;
    readonly default?: unknown;
  } & Range)[];
  readonly variables: readonly ({
    readonly name: string;
    readonly type: string | null;
    readonly urn: string | null;
  } & Range)[];
  readonly events: readonly string[];
  readonly nodes: readonly FlowNode[];
  readonly edges: readonly FlowEdge[];
  readonly edgesOmitted?: number;
  /** Its edges follow from the nodes: nobody draws or removes them. */
  readonly derived?: boolean;
}

export interface System extends Range {
  readonly urn: string | null;
  readonly name: string;
  readonly description: string | null;
  readonly nodes: readonly FlowNode[];
  readonly edges?: readonly FlowEdge[];
}

export interface DrawnDeployment extends System {
  /** The system's URN. */
  readonly system: string | null;
}

export interface Drawing {
  readonly flows: readonly Flow[];
  readonly systems: readonly System[];
  readonly deployments?: readonly DrawnDeployment[];
  readonly diagnostics: readonly Diagnostic[];
}

export interface NewNode {
  readonly kind: "device" | "service" | "choice";
  readonly name?: string;
  readonly urn?: string | null;
  readonly action?: string;
  readonly arguments?: Readonly<Record<string, Scalar>>;
  readonly deviceId?: string;
  readonly out?: string;
  readonly description?: string;
  readonly position?: Point;
  readonly start?: boolean;
}

export type FieldName =
  | "description"
  | "condition"
  | "timeout"
  | "inEvent"
  | "outEvent"
  | "deviceModel"
  | "webservice"
  | "deviceId"
  | "device"
  | "out";

/** Which definition of the text is changed. */
export type Where = { readonly flow: string } | { readonly system: string } | { readonly deployment: string };

export interface NewTrigger {
  readonly name?: string;
  readonly description?: string;
  readonly condition: string;
  readonly actions?: readonly string[];
  readonly position?: Point;
}

export interface NewRole {
  readonly kind: "device" | "flow" | "service" | "system";
  readonly name?: string;
  readonly urn: string;
  readonly position?: Point;
}

/** One change of the text, told by what is drawn. */
export type Edit =
  | ({ readonly op: "move"; readonly node: string; readonly x: number; readonly y: number } & Where)
  | ({ readonly op: "move"; readonly trigger: string; readonly x: number; readonly y: number } & Where)
  | ({ readonly op: "add-trigger"; readonly trigger: NewTrigger } & Where)
  | ({
      readonly op: "set-trigger";
      readonly trigger: string;
      readonly name?: string;
      readonly description?: string | null;
      readonly condition?: string;
      readonly actions?: readonly string[];
    } & Where)
  | ({ readonly op: "remove-trigger"; readonly trigger: string } & Where)
  | { readonly op: "add-node"; readonly system: string; readonly node: NewRole }
  | { readonly op: "set-role"; readonly system: string; readonly node: string; readonly urn: string }
  | { readonly op: "bind"; readonly deployment: string; readonly role: string; readonly thing: string }
  | { readonly op: "unbind"; readonly deployment: string; readonly role: string }
  | {
      readonly op: "set-on-success";
      readonly flow: string;
      readonly node: string;
      readonly checks: readonly Check[];
    }
  | { readonly op: "add-node"; readonly flow: string; readonly node: NewNode }
  | ({ readonly op: "remove-node"; readonly node: string } & Where)
  | ({ readonly op: "rename-node"; readonly node: string; readonly to: string } & Where)
  | {
      readonly op: "connect";
      readonly flow: string;
      readonly source: string;
      readonly target: string;
      readonly port?: string;
      readonly condition?: string;
      readonly event?: string;
      readonly join?: "all" | "any";
    }
  | { readonly op: "disconnect"; readonly flow: string; readonly edge: string }
  | {
      readonly op: "set-argument";
      readonly flow: string;
      readonly node: string;
      readonly name: string;
      readonly value: Scalar;
    }
  | { readonly op: "set-action"; readonly flow: string; readonly node: string; readonly action: string }
  | { readonly op: "set-condition"; readonly flow: string; readonly edge: string; readonly condition: string }
  | {
      readonly op: "set-on-error";
      readonly flow: string;
      readonly node: string;
      readonly retries: readonly Retry[];
      readonly catches: readonly Catch[];
    }
  | {
      readonly op: "set-field";
      readonly flow: string;
      readonly node: string;
      readonly field: FieldName;
      readonly value: string | readonly string[] | null;
    }
  | { readonly op: "add-variable"; readonly flow: string; readonly name: string; readonly urn: string }
  | { readonly op: "remove-variable"; readonly flow: string; readonly name: string }
  | {
      readonly op: "add-parameter";
      readonly flow: string;
      readonly name: string;
      readonly type: string;
      readonly required?: boolean;
    }
  | { readonly op: "replace"; readonly from: number; readonly to: number; readonly text: string };

/** How a flow is named in edits. */
export function flowKey(flow: Flow): string {
  return flow.urn ?? flow.name;
}

/** Triggers start flows. */
export function isTrigger(node: Pick<FlowNode, "kind">): boolean {
  return node.kind === "clock" || node.kind === "event";
}

/** Steps run; triggers are drawn beside them. */
export function isStep(node: FlowNode): boolean {
  return !isTrigger(node);
}

/** A trigger may have the name of a step or role, so its id on the canvas starts with what no name holds. */
const TRIGGER_MARK = "\u0001";

export function triggerId(name: string): string {
  return `${TRIGGER_MARK}${name}`;
}

/** What a node is called on the canvas. */
export function nodeId(node: Pick<FlowNode, "kind" | "name">): string {
  return isTrigger(node) ? triggerId(node.name) : node.name;
}

/** The id of the node an edge starts or ends at. */
export function endOf(edge: Pick<FlowEdge, "kind" | "source" | "target">, end: "source" | "target"): string {
  const isMarked = end === "source" ? edge.kind === "triggers" : edge.kind === "listens";
  return isMarked ? triggerId(edge[end]) : edge[end];
}
