// Lexer of TDM text (things-graph.md 2.1): tokens with UTF-16 offsets; never fails, marks what is wrong.

/** What a token is. `bad` is a character or string the language does not have. */
export type TokenKind = "name" | "number" | "string" | "block" | "punctuator" | "comment" | "bad";

export interface Token {
  readonly kind: TokenKind;
  readonly from: number;
  readonly to: number;
  readonly text: string;
}

const SPACE = /[\s,\uFEFF]*/y;
const COMMENT = /#[^\r\n]*/y;
const BLOCK = /"""(?:[^"\\]|\\[\s\S]|"(?!""))*"""/y;
const STRING = /"(?:[^"\\\r\n]|\\[^\r\n])*"|'(?:[^'\\\r\n]|\\[^\r\n])*'/y;
const OPEN_STRING = /["'][^\r\n]*/y;
const NUMBER = /-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?(?![_0-9A-Za-z])/y;
const NAME = /[_A-Za-z][_0-9A-Za-z]*/y;
const PUNCTUATOR = /[!$():=@[\]{}|&]/y;

const RULES: readonly (readonly [TokenKind, RegExp])[] = [
  ["comment", COMMENT],
  ["block", BLOCK],
  ["string", STRING],
  ["bad", OPEN_STRING],
  ["number", NUMBER],
  ["name", NAME],
  ["punctuator", PUNCTUATOR],
];

function match(rule: RegExp, text: string, at: number): number {
  rule.lastIndex = at;
  return rule.test(text) ? rule.lastIndex : at;
}

/** The token at `at` (no space before it), or null at the end of the text. */
export function tokenAt(text: string, at: number): Token | null {
  if (at >= text.length) return null;
  for (const [kind, rule] of RULES) {
    const to = match(rule, text, at);
    if (to > at) return { kind, from: at, to, text: text.slice(at, to) };
  }
  return { kind: "bad", from: at, to: at + 1, text: text.slice(at, at + 1) };
}

/** Where the next token starts: skips white space, commas and byte order marks. */
export function skipSpace(text: string, at: number): number {
  return match(SPACE, text, at);
}

/** All tokens of `text`, comments included. */
export function tokenize(text: string): Token[] {
  const tokens: Token[] = [];
  let at = skipSpace(text, 0);
  for (let token = tokenAt(text, at); token; token = tokenAt(text, at)) {
    tokens.push(token);
    at = skipSpace(text, token.to);
  }
  return tokens;
}

const ESCAPES: Readonly<Record<string, string>> = { b: "\b", f: "\f", n: "\n", r: "\r", t: "\t" };

/** The text a string token stands for; unknown escapes stay as they are. */
export function unquote(literal: string): string {
  if (literal.startsWith('"""')) return literal.slice(3, -3).trim();
  const body = literal.slice(1, -1);
  return body.replace(/\\(u[0-9a-fA-F]{4}|.)/g, (whole, code: string) => {
    if (code.length === 5) return String.fromCharCode(Number.parseInt(code.slice(1), 16));
    if (code === "u") return whole;
    return ESCAPES[code] ?? code;
  });
}

/** `value` as a TDM string: double quotes unless only single quotes avoid escapes. */
export function quote(value: string): string {
  const delimiter = value.includes('"') && !value.includes("'") ? "'" : '"';
  let out = delimiter;
  for (const character of value) {
    const code = character.codePointAt(0) ?? 0;
    if (character === delimiter || character === "\\") out += `\\${character}`;
    else if (character === "\n") out += "\\n";
    else if (character === "\r") out += "\\r";
    else if (character === "\t") out += "\\t";
    else if (code < 0x20) out += `\\u${code.toString(16).padStart(4, "0")}`;
    else out += character;
  }
  return out + delimiter;
}
