// Tolerant parser of TDM definitions (things-graph.md 2.2): gives the pages structure to draw; the server judges.

import { type Token, tokenize, unquote } from "./lexer.ts";

/** A value of an argument. `name` and `number` keep their text. */
export type Value =
  | {
      readonly kind: "string" | "name" | "number" | "variable";
      readonly text: string;
      readonly from: number;
      readonly to: number;
    }
  | { readonly kind: "list"; readonly items: readonly Value[]; readonly from: number; readonly to: number }
  | { readonly kind: "object"; readonly fields: readonly Argument[]; readonly from: number; readonly to: number };

export interface Argument {
  readonly name: string;
  readonly value: Value;
}

export interface Directive {
  readonly name: string;
  readonly args: readonly Argument[];
}

/** A field of a type, a member of an enum, or a selection of a query. */
export interface Node {
  readonly name: string;
  readonly type?: string;
  readonly args: readonly Argument[];
  readonly directives: readonly Directive[];
  readonly children: readonly Node[];
  readonly from: number;
  readonly to: number;
}

export interface Definition {
  readonly keyword: "type" | "query" | "enum";
  readonly name: string;
  readonly parameters: readonly { readonly name: string; readonly type: string; readonly value?: Value }[];
  readonly directives: readonly Directive[];
  readonly parents: readonly string[];
  readonly body: readonly Node[];
  /** Start of the comment block above the keyword. */
  readonly from: number;
  readonly to: number;
}

/** Deeper nesting is cut off, as on the server (2.5). */
const MAX_DEPTH = 64;
const KEYWORDS = new Set(["type", "query", "enum"]);

class Reader {
  private at = 0;
  private depth = 0;
  readonly tokens: readonly Token[];
  private readonly all: readonly Token[];
  constructor(all: readonly Token[]) {
    this.all = all;
    this.tokens = all.filter((token) => token.kind !== "comment");
  }

  peek(ahead = 0): Token | undefined {
    return this.tokens[this.at + ahead];
  }

  next(): Token | undefined {
    return this.tokens[this.at++];
  }

  is(text: string, ahead = 0): boolean {
    const token = this.peek(ahead);
    return token?.kind === "punctuator" && token.text === text;
  }

  take(text: string): boolean {
    if (!this.is(text)) return false;
    this.at += 1;
    return true;
  }

  name(): string | null {
    const token = this.peek();
    if (token?.kind !== "name") return null;
    this.at += 1;
    return token.text;
  }

  end(): number {
    return this.tokens[this.at - 1]?.to ?? 0;
  }

  nested<T>(read: () => T, beyond: T): T {
    if (this.depth >= MAX_DEPTH) {
      this.at = this.tokens.length;
      return beyond;
    }
    this.depth += 1;
    const out = read();
    this.depth -= 1;
    return out;
  }

  /** Start of the comment lines directly above `token`. */
  slice(token: Token, text: string): number {
    let index = this.all.indexOf(token) - 1;
    let from = token.from;
    while (index >= 0) {
      const above = this.all[index];
      if (above?.kind !== "comment" || /\n[^\n]*\n/.test(text.slice(above.to, from))) break;
      from = above.from;
      index -= 1;
    }
    return from;
  }
}

function value(reader: Reader): Value | null {
  const token = reader.next();
  if (!token) return null;
  const { from } = token;
  if (token.kind === "string" || token.kind === "block") {
    return { kind: "string", text: unquote(token.text), from, to: token.to };
  }
  if (token.kind === "name" || token.kind === "number")
    return { kind: token.kind, text: token.text, from, to: token.to };
  if (token.text === "$") return { kind: "variable", text: reader.name() ?? "", from, to: reader.end() };
  if (token.text === "[") {
    return reader.nested<Value | null>(() => {
      const items: Value[] = [];
      while (reader.peek() && !reader.take("]")) {
        const item = value(reader);
        if (item) items.push(item);
      }
      return { kind: "list", items, from, to: reader.end() };
    }, null);
  }
  if (token.text === "{") {
    return reader.nested<Value | null>(
      () => ({ kind: "object", fields: args(reader, "}"), from, to: reader.end() }),
      null,
    );
  }
  return null;
}

/** Arguments up to the closing punctuator; the opening one has been read. */
function args(reader: Reader, close: string): Argument[] {
  const found: Argument[] = [];
  while (reader.peek() && !reader.take(close)) {
    const name = reader.name();
    if (name === null || !reader.take(":")) {
      if (name === null) reader.next();
      continue;
    }
    const read = value(reader);
    if (read) found.push({ name, value: read });
  }
  return found;
}

function directives(reader: Reader, parents: string[] | null): Directive[] {
  const found: Directive[] = [];
  for (;;) {
    if (reader.take("@")) {
      const name = reader.name() ?? "";
      found.push({ name, args: reader.take("(") ? args(reader, ")") : [] });
    } else if (parents && reader.peek()?.text.toLowerCase() === "implements") {
      reader.next();
      reader.take("&");
      for (let name = reader.name(); name !== null; name = reader.take("&") || !reader.is("{") ? reader.name() : null) {
        parents.push(name);
        while (reader.take("@")) {
          const id = reader.name() ? (reader.take("(") ? args(reader, ")") : []) : [];
          const urn = text(id, "id");
          if (urn) parents[parents.length - 1] = urn;
        }
      }
    } else return found;
  }
}

function typeRef(reader: Reader): string {
  let out = "";
  while (reader.take("[")) out += "[";
  out += reader.name() ?? "";
  while (reader.is("]") || reader.is("!")) out += reader.next()?.text ?? "";
  return out;
}

function nodes(reader: Reader): Node[] {
  const found: Node[] = [];
  while (reader.peek() && !reader.take("}")) {
    const start = reader.peek();
    const name = reader.name();
    if (!start || name === null) {
      reader.next();
      continue;
    }
    const given = reader.take("(") ? args(reader, ")") : [];
    let shown = name;
    let type: string | undefined;
    if (reader.take(":")) {
      type = typeRef(reader);
      if (reader.is("(")) {
        // `alias: name(...)` of a selection: the second name is what is called.
        reader.next();
        shown = type;
        type = undefined;
        given.push(...args(reader, ")"));
      }
    }
    const own = directives(reader, null);
    const children = reader.take("{") ? reader.nested(() => nodes(reader), []) : [];
    const node = { name: shown, args: given, directives: own, children, from: start.from, to: reader.end() };
    found.push(type === undefined ? node : { ...node, type });
  }
  return found;
}

function definition(reader: Reader, source: string): Definition | null {
  const start = reader.peek();
  const keyword = reader.name()?.toLowerCase();
  if (!start || (keyword !== "type" && keyword !== "query" && keyword !== "enum")) return null;
  const name = reader.name() ?? "";
  const parameters: { name: string; type: string; value?: Value }[] = [];
  if (keyword === "query" && reader.take("(")) {
    while (reader.peek() && !reader.take(")")) {
      if (!reader.take("$")) {
        reader.next();
        continue;
      }
      const parameter = reader.name() ?? "";
      reader.take(":");
      const type = typeRef(reader);
      const initial = reader.take("=") ? value(reader) : null;
      parameters.push(initial ? { name: parameter, type, value: initial } : { name: parameter, type });
    }
  }
  const parents: string[] = [];
  const own = directives(reader, parents);
  const body = reader.take("{") ? reader.nested(() => nodes(reader), []) : [];
  return {
    keyword,
    name,
    parameters,
    directives: own,
    parents,
    body,
    from: reader.slice(start, source),
    to: reader.end(),
  };
}

/** The definitions of a document, in order; what cannot be read is skipped. */
export function parse(source: string): Definition[] {
  const reader = new Reader(tokenize(source));
  const found: Definition[] = [];
  while (reader.peek()) {
    const token = reader.peek();
    if (token?.kind === "name" && KEYWORDS.has(token.text.toLowerCase())) {
      const read = definition(reader, source);
      if (read) found.push(read);
    } else reader.next();
  }
  return found;
}

/** The argument `name` (any case), if it is there. */
export function argument(list: readonly Argument[], name: string): Value | undefined {
  const wanted = name.toLowerCase();
  return list.find((entry) => entry.name.toLowerCase() === wanted)?.value;
}

/** The text of a plain argument, or undefined. */
export function text(list: readonly Argument[], name: string): string | undefined {
  const found = argument(list, name);
  return found && "text" in found ? found.text : undefined;
}

/** The texts of an argument that is one value or a list of them. */
export function texts(list: readonly Argument[], name: string): string[] {
  const found = argument(list, name);
  if (!found) return [];
  if (found.kind === "list") return found.items.flatMap((item) => ("text" in item ? [item.text] : []));
  return "text" in found ? [found.text] : [];
}

/** The directive `name` (any case), if it is there. */
export function directive(list: readonly Directive[], name: string): Directive | undefined {
  const wanted = name.toLowerCase();
  return list.find((entry) => entry.name.toLowerCase() === wanted);
}

/** The first child called `name` (any case). */
export function child(list: readonly Node[], name: string): Node | undefined {
  const wanted = name.toLowerCase();
  return list.find((entry) => entry.name.toLowerCase() === wanted);
}
