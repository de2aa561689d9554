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

export type NodeKind = "device" | "service" | "choice" | "unknown" | "clock" | "event";

/** A step of a flow, or a trigger stored with it. */
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
  readonly onSuccess?: readonly ({
    readonly name: string | null;
    readonly condition: string | null;
    readonly pass: readonly string[];
    readonly fail: readonly string[];
  } & Range)[];
}

export type EdgeKind = "triggers" | "choice" | "success" | "error" | "check";

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
}

export interface SystemNode extends Range {
  readonly name: string;
  readonly kind: string;
  readonly urn: string | null;
  readonly title: string;
  readonly capability?: string | null;
  readonly actions?: readonly string[];
  readonly events?: readonly string[];
}

export interface System extends Range {
  readonly urn: string | null;
  readonly name: string;
  readonly description: string | null;
  readonly nodes: readonly SystemNode[];
}

export interface Drawing {
  readonly flows: readonly Flow[];
  readonly systems: readonly System[];
  readonly deployments?: readonly unknown[];
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

/** One change of the text, told by what is drawn. */
export type Edit =
  | { readonly op: "move"; readonly flow: string; readonly node: string; readonly x: number; readonly y: number }
  | { readonly op: "add-node"; readonly flow: string; readonly node: NewNode }
  | { readonly op: "remove-node"; readonly flow: string; readonly node: string }
  | { readonly op: "rename-node"; readonly flow: string; readonly node: string; readonly to: string }
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

/** Steps run; triggers are drawn but belong to the deployment. */
export function isStep(node: FlowNode): boolean {
  return node.kind !== "clock" && node.kind !== "event";
}
