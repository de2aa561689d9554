// How the kinds of nodes look: icon, colour, word.
import { Boxes, CircleQuestionMark, Clock, Cloud, Cpu, GitFork, Sigma, Workflow, Zap } from "lucide-react";
import type { ComponentType } from "react";
import type { EdgeKind, FlowNode, NodeKind } from "./drawing.ts";

type Icon = ComponentType<{ size?: number | string; "aria-hidden"?: boolean }>;

export const KINDS: Readonly<Record<NodeKind, { icon: Icon; word: string }>> = {
  device: { icon: Cpu, word: "Device" },
  service: { icon: Cloud, word: "Service" },
  choice: { icon: GitFork, word: "Choice" },
  clock: { icon: Clock, word: "Clock" },
  event: { icon: Zap, word: "Event" },
  unknown: { icon: CircleQuestionMark, word: "Unfinished step" },
  flow: { icon: Workflow, word: "Flow" },
  system: { icon: Boxes, word: "System" },
  value: { icon: Sigma, word: "Value" },
};

export const EDGE_WORDS: Readonly<Record<EdgeKind, string>> = {
  success: "when it is done",
  choice: "when the rule holds",
  error: "when it fails",
  check: "after a check",
  triggers: "starts the flow",
  uses: "which uses it",
  listens: "which listens to it",
};

/** The kinds of connections as a legend tells them. */
export const EDGE_LEGEND: Readonly<Record<EdgeKind, string>> = {
  success: "when done",
  choice: "by a rule",
  error: "on an error",
  check: "after a check",
  triggers: "starts",
  uses: "uses",
  listens: "listens",
};

/** What a screen reader says of a node. */
export function spoken(node: FlowNode): string {
  const what = node.action ? `${node.title}, ${node.action}` : node.title;
  const problems =
    node.problems.length > 0 ? `, ${node.problems.length} ${node.problems.length === 1 ? "problem" : "problems"}` : "";
  return `${KINDS[node.kind].word} “${node.name}”: ${what}${problems}`;
}
