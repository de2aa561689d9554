// Edits of a choice's rules: where in the text of a rule its name and expression stand.
import { quote } from "../tdm-editor/lexer.ts";
import { argument, parse } from "../tdm-editor/parse.ts";
import type { Edit, Range, Rule } from "./drawing.ts";

/** A rule is parsed inside this, so that the parser of definitions reads it. */
const BEFORE = "query _ { ";

/** The range of an argument's value in the whole text, quotes included; null when it is not written. */
export function argumentRange(text: string, rule: Range, name: string): Range | null {
  const node = parse(`${BEFORE}${text.slice(rule.from, rule.to)} }`)[0]?.body[0];
  const value = node && argument(node.args, name);
  const shift = rule.from - BEFORE.length;
  return value ? { from: value.from + shift, to: value.to + shift } : null;
}

/** The edit that gives a rule another expression. */
export function setExpression(text: string, rule: Rule, expression: string): Edit | null {
  const range = argumentRange(text, rule, "expr");
  return range ? { op: "replace", ...range, text: quote(expression) } : null;
}

/** The edit that gives a rule another name. */
export function setName(text: string, rule: Rule, name: string): Edit | null {
  const range = argumentRange(text, rule, "name");
  if (range) return { op: "replace", ...range, text: quote(name) };
  const open = text.indexOf("(", rule.from);
  return open === -1 || open >= rule.to
    ? null
    : { op: "replace", from: open + 1, to: open + 1, text: `name: ${quote(name)}, ` };
}

/** The edits that let two rules change places. */
export function swap(text: string, one: Rule, other: Rule): Edit[] {
  const [first, second] = one.from < other.from ? [one, other] : [other, one];
  return [
    { op: "replace", from: second.from, to: second.to, text: text.slice(first.from, first.to) },
    { op: "replace", from: first.from, to: first.to, text: text.slice(second.from, second.to) },
  ];
}

/** The edit that removes a rule with the white space before it. */
export function remove(text: string, rule: Rule): Edit {
  let from = rule.from;
  while (from > 0 && /\s/.test(text.charAt(from - 1))) from -= 1;
  return { op: "replace", from, to: rule.to, text: "" };
}
