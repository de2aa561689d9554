// Conditions and actions of triggers as text, and as what a form asks (things-graph.md 3.14).

export const CLOCK_UNITS = ["second", "minute", "hour", "day", "week", "month", "year"] as const;
export type ClockUnit = (typeof CLOCK_UNITS)[number];

export type Condition =
  | { readonly kind: "clock"; readonly every: number; readonly unit: ClockUnit }
  | {
      readonly kind: "event";
      /** Device role; empty in the short form a flow may store. */
      readonly role: string;
      readonly event: string;
      /** What must hold besides, over `lastEvent`; empty: every time. */
      readonly when: string;
    };

const CLOCK = /^\s*(?:\$\{\s*)?every\s+(?:(\d+)\s+)?(second|minute|hour|day|week|month|year)s?\s*\}?\s*$/i;
const EVENT =
  /devices\s*\[\s*name\s*==\s*(['"])(.*?)\1\s*\]\s*\.\s*events\s*\[\s*name\s*==\s*(['"])(.*?)\3\s*\]\s*\.\s*lastEvent\b/gi;

export const singleQuoted = (value: string) => `'${value.replace(/\\/g, "\\\\").replace(/'/g, "\\'")}'`;

/** What a form shows of a condition; null when it says more than a form can. */
export function readCondition(text: string): Condition | null {
  const clock = CLOCK.exec(text);
  if (clock)
    return { kind: "clock", every: Number(clock[1] ?? 1), unit: (clock[2] ?? "hour").toLowerCase() as ClockUnit };
  if (/^\s*(?:\$\{\s*)?every\b/i.test(text)) return null;
  const found = [...text.matchAll(EVENT)];
  const [first] = found;
  const others = found.some(
    (one) => one[2]?.toLowerCase() !== first?.[2]?.toLowerCase() || one[4]?.toLowerCase() !== first?.[4]?.toLowerCase(),
  );
  if (others) return null;
  const when = text.replace(EVENT, "lastEvent").trim();
  if (/\bdevices\b/i.test(when)) return null;
  return { kind: "event", role: first?.[2] ?? "", event: first?.[4] ?? "", when: when === "lastEvent" ? "" : when };
}

/** The text of a condition. */
export function writeCondition(condition: Condition): string {
  if (condition.kind === "clock")
    return `every ${condition.every} ${condition.unit}${condition.every === 1 ? "" : "s"}`;
  const { role, event } = condition;
  const named = role !== "" && event !== "";
  const path = named
    ? `devices[name == ${singleQuoted(role)}].events[name == ${singleQuoted(event)}].lastEvent`
    : "lastEvent";
  const when = condition.when.trim();
  if (when === "") return path;
  return when.includes("lastEvent") ? when.replace(/(?<![.\w])lastEvent\b/g, () => path) : `${path}.${when}`;
}

/** How an action starts a flow; `values` hold an expression per parameter, empty for what is left out. */
export function writeAction(flowRole: string, values: readonly string[]): string {
  const given = [...values];
  while (given.length > 0 && given.at(-1)?.trim() === "") given.pop();
  return `ThingsGraph.startFlow(${[singleQuoted(flowRole), ...given.map((value) => value.trim() || "null")].join(", ")})`;
}

/** The expression that gives a parameter the thing bound to a role. */
export function boundThing(role: string): string {
  return `bindings[name == ${singleQuoted(role)}].deviceId`;
}
