// The language service of the server (crates/control/console/API.md): what it is asked and what it answers.
import { postJson } from "../api/client.ts";
import type { Drawing, Edit } from "../designer/drawing.ts";

export interface Diagnostic {
  readonly code: string;
  readonly severity: "error" | "warning";
  readonly message: string;
  readonly help?: string;
  readonly about?: string;
  readonly fix?: { readonly from: number; readonly to: number; readonly text: string };
  readonly from: number;
  readonly to: number;
  readonly line: number;
  readonly column: number;
  readonly notes: readonly { readonly message: string; readonly from: number; readonly to: number }[];
}

export interface CompletionItem {
  readonly label: string;
  readonly kind: "urn" | "keyword" | "directive" | "path" | "function" | "property";
  readonly detail?: string;
  readonly insert: string;
}

export interface EditAnswer {
  readonly text: string;
  readonly drawing: Drawing;
  readonly diagnostics: readonly Diagnostic[];
}

export interface TimelineItem {
  readonly at_ms: number;
  readonly kind: string;
  readonly execution: number | null;
  readonly step: string | null;
  readonly detail: Readonly<Record<string, unknown>>;
}

export type ScriptLine = Readonly<Record<string, unknown>>;

export interface SimulateAnswer {
  readonly timeline: readonly TimelineItem[];
  readonly outcome: {
    readonly status: "SUCCEEDED" | "FAILED" | "ABORTED" | "RUNNING" | "NOT_STARTED" | "INVALID";
    readonly executions?: readonly { readonly id: string; readonly trigger: string; readonly status: string }[];
    readonly truncated?: boolean;
  };
  readonly script?: readonly ScriptLine[];
  readonly diagnostics: readonly Diagnostic[];
}

export type ScopePlace = "argument" | "condition" | "error" | "statement";

export interface ScopeAnswer {
  readonly names: readonly { readonly path: string; readonly type: string }[];
  readonly functions?: readonly { readonly path: string; readonly arguments: readonly [number, number] }[];
  readonly type?: string | null;
  readonly error?: { readonly message: string; readonly from: number; readonly to: number };
}

/** The verbs as a session of the designer uses them; tests give their own. */
export interface Language {
  flow(text: string, signal?: AbortSignal): Promise<Drawing>;
  edit(text: string, edits: readonly Edit[]): Promise<EditAnswer>;
}

export const language: Language = {
  flow: (text, signal) => postJson<Drawing>("tdm/flow", { text }, signal),
  edit: (text, edits) => postJson<EditAnswer>("tdm/edit", { text, edits }),
};

export async function check(text: string, signal?: AbortSignal): Promise<readonly Diagnostic[]> {
  return (await postJson<{ diagnostics: Diagnostic[] }>("tdm/check", { text }, signal)).diagnostics;
}

export async function format(text: string): Promise<string> {
  return (await postJson<{ text: string }>("tdm/format", { text })).text;
}

export function complete(text: string, offset: number, signal?: AbortSignal) {
  return postJson<{ from: number; to: number; items: CompletionItem[] }>("tdm/complete", { text, offset }, signal);
}

/** Runs a flow on virtual time; without `events` the service makes a script up. */
export function simulate(text: string, flow: string, events?: string | readonly ScriptLine[]) {
  return postJson<SimulateAnswer>("tdm/simulate", events === undefined ? { text, flow } : { text, flow, events });
}

export function scope(
  question: { text: string; flow: string; step: string; place: ScopePlace; expression?: string },
  signal?: AbortSignal,
) {
  return postJson<ScopeAnswer>("tdm/scope", question, signal);
}
