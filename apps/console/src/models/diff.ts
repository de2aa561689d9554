// Differences between two texts by line, and between a document and what is stored by entity.

import { tokenize, unquote } from "../tdm-editor/lexer.ts";
import { entities } from "./entity.ts";
import { type Metatype, urnKey } from "./urn.ts";

export interface Line {
  readonly kind: "same" | "added" | "removed";
  readonly text: string;
}

/** Lines beyond this are compared as a whole: the table of a line diff grows with the product of both lengths. */
const MAX_CELLS = 4_000_000;

/** What to remove and add to make `after` of `before`. */
export function diffLines(before: string, after: string): Line[] {
  const one = before === "" ? [] : before.split("\n");
  const other = after === "" ? [] : after.split("\n");
  let head = 0;
  while (head < one.length && head < other.length && one[head] === other[head]) head += 1;
  let tail = 0;
  while (
    tail < one.length - head &&
    tail < other.length - head &&
    one[one.length - 1 - tail] === other[other.length - 1 - tail]
  )
    tail += 1;
  const same = (text: string): Line => ({ kind: "same", text });
  const middle = change(one.slice(head, one.length - tail), other.slice(head, other.length - tail));
  return [...one.slice(0, head).map(same), ...middle, ...one.slice(one.length - tail).map(same)];
}

function change(one: readonly string[], other: readonly string[]): Line[] {
  const removed = (text: string): Line => ({ kind: "removed", text });
  const added = (text: string): Line => ({ kind: "added", text });
  const width = other.length + 1;
  if (one.length * width > MAX_CELLS) return [...one.map(removed), ...other.map(added)];
  const longest = new Uint32Array((one.length + 1) * width);
  const at = (row: number, column: number) => longest[row * width + column] ?? 0;
  for (let row = one.length - 1; row >= 0; row -= 1) {
    for (let column = other.length - 1; column >= 0; column -= 1) {
      longest[row * width + column] =
        one[row] === other[column] ? at(row + 1, column + 1) + 1 : Math.max(at(row + 1, column), at(row, column + 1));
    }
  }
  const lines: Line[] = [];
  let row = 0;
  let column = 0;
  while (row < one.length && column < other.length) {
    if (one[row] === other[column]) {
      lines.push({ kind: "same", text: one[row] ?? "" });
      row += 1;
      column += 1;
    } else if (at(row + 1, column) >= at(row, column + 1)) lines.push(removed(one[row++] ?? ""));
    else lines.push(added(other[column++] ?? ""));
  }
  return [...lines, ...one.slice(row).map(removed), ...other.slice(column).map(added)];
}

export type Change = "new" | "changed" | "reformatted" | "same";

export interface EntityChange {
  readonly id: string;
  readonly metatype: Metatype;
  readonly change: Change;
  readonly before: string;
  readonly after: string;
}

/** A definition without what does not matter for its meaning: comments, white space, commas, kind of quotes (section 8). */
export function normalised(definition: string): string {
  return tokenize(definition)
    .filter((token) => token.kind !== "comment")
    .map((token) =>
      token.kind === "string" || token.kind === "block" ? JSON.stringify(unquote(token.text)) : token.text,
    )
    .join(" ");
}

/** What an upload of `document` would do to entities whose stored definitions are given by lower-cased URN. */
export function compare(document: string, stored: ReadonlyMap<string, string>): EntityChange[] {
  return entities(document).map((entity) => {
    const after = document.slice(entity.definition.from, entity.definition.to);
    const before = stored.get(urnKey(entity.id));
    const change =
      before === undefined
        ? "new"
        : before === after
          ? "same"
          : normalised(before) === normalised(after)
            ? "reformatted"
            : "changed";
    return { id: entity.id, metatype: entity.metatype, change, before: before ?? "", after };
  });
}
