// CodeMirror language of TDM: highlighting by stream, after the lexer rules of things-graph.md 2.1.

import {
  HighlightStyle,
  LanguageSupport,
  StreamLanguage,
  type StringStream,
  syntaxHighlighting,
} from "@codemirror/language";
import { tags } from "@lezer/highlight";

interface State {
  /** Inside a `"""block"""` string. */
  block: boolean;
  depth: number;
}

const KEYWORDS = new Set(["type", "query", "enum", "implements"]);
const ATOMS = new Set(["true", "false", "null", "void", "default"]);
const BLOCKS = new Set([
  "action",
  "awslambda",
  "catch",
  "catches",
  "check",
  "choiceactivity",
  "condition",
  "deviceactivity",
  "event",
  "forward",
  "headerparams",
  "http",
  "httpget",
  "httppost",
  "invokecloudlambda",
  "invokegreengrasslambda",
  "map",
  "modbus",
  "mqtt",
  "onerror",
  "onfail",
  "onpass",
  "onsuccess",
  "param",
  "params",
  "payload",
  "publish",
  "request",
  "response",
  "responsepayload",
  "rest",
  "retries",
  "retry",
  "reverse",
  "rule",
  "setevent",
  "setvariable",
  "state",
  "step",
  "steps",
  "stmt",
  "subscribe",
  "triggers",
  "variables",
  "webserviceactivity",
]);

function token(stream: StringStream, state: State): string | null {
  if (state.block) {
    while (!stream.eol()) {
      if (stream.match('"""')) {
        state.block = false;
        return "string";
      }
      stream.next();
    }
    return "string";
  }
  if (stream.match(/^[\s,\uFEFF]+/)) return null;
  if (stream.match(/^#.*/)) return "comment";
  if (stream.match('"""')) {
    state.block = true;
    return "string";
  }
  if (stream.match(/^"(?:[^"\\]|\\.)*"|^'(?:[^'\\]|\\.)*'/)) {
    const text = stream.current();
    return /\$\{|^.\$?macro\(/.test(text) ? "special" : /^.urn:tdm:/i.test(text) ? "urn" : "string";
  }
  if (stream.match(/^["'].*/)) return "invalid";
  if (stream.match(/^-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?(?!\w)/)) return "number";
  if (stream.match(/^@[_A-Za-z]\w*/)) return "directive";
  if (stream.match(/^\$[_A-Za-z]\w*/)) return "variable";
  const name = stream.match(/^[_A-Za-z]\w*/);
  if (name && name !== true) {
    const word = (name[0] ?? "").toLowerCase();
    if (KEYWORDS.has(word)) return "keyword";
    if (ATOMS.has(word)) return "atom";
    if (stream.match(/^\s*:/, false)) return "property";
    return BLOCKS.has(word) ? "block" : "name";
  }
  const character = stream.next() ?? "";
  if (character === "{" || character === "(" || character === "[") state.depth += 1;
  else if (character === "}" || character === ")" || character === "]") state.depth = Math.max(0, state.depth - 1);
  return /[!$():=@[\]{}|&]/.test(character) ? "punctuation" : "invalid";
}

export const tdmLanguage = StreamLanguage.define<State>({
  name: "tdm",
  startState: () => ({ block: false, depth: 0 }),
  copyState: (state) => ({ ...state }),
  token,
  indent: (state, after, context) => {
    const closing = (/^\s*[)}\]]+/.exec(after)?.[0] ?? "").trim().length;
    return Math.max(0, state.depth - closing) * context.unit;
  },
  languageData: {
    commentTokens: { line: "#" },
    closeBrackets: { brackets: ["(", "[", "{", '"', "'"] },
    indentOnInput: /^\s*[)}\]]$/,
  },
  tokenTable: {
    directive: tags.annotation,
    urn: tags.url,
    special: tags.special(tags.string),
    property: tags.propertyName,
    block: tags.typeName,
    name: tags.variableName,
    variable: tags.local(tags.variableName),
    invalid: tags.invalid,
  },
});

/** Colours come from custom properties (tdm.css), so that light and dark are one style. */
const style = HighlightStyle.define([
  { tag: tags.keyword, color: "var(--tdm-keyword)", fontWeight: "600" },
  { tag: tags.annotation, color: "var(--tdm-directive)" },
  { tag: tags.url, color: "var(--tdm-urn)" },
  { tag: tags.special(tags.string), color: "var(--tdm-expression)" },
  { tag: tags.string, color: "var(--tdm-string)" },
  { tag: [tags.number, tags.atom], color: "var(--tdm-number)" },
  { tag: tags.comment, color: "var(--tdm-comment)", fontStyle: "italic" },
  { tag: tags.propertyName, color: "var(--tdm-property)" },
  { tag: tags.typeName, color: "var(--tdm-block)" },
  { tag: tags.local(tags.variableName), color: "var(--tdm-expression)" },
  { tag: tags.invalid, color: "var(--tdm-invalid)" },
]);

/** Language and colours of TDM. */
export function tdm(): LanguageSupport {
  return new LanguageSupport(tdmLanguage, syntaxHighlighting(style));
}
