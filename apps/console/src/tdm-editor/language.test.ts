// The lexer against things-graph.md 2.1, the parser against whole documents, and both against hostile text.
import { EditorState } from "@codemirror/state";
import { expect, test } from "vitest";
import { tdmLanguage } from "./language.ts";
import { quote, tokenize, unquote } from "./lexer.ts";
import { argument, directive, parse, text, texts } from "./parse.ts";

test("tokens as the language has them (TG 2.1)", () => {
  const kinds = (source: string) => tokenize(source).map((token) => `${token.kind} ${token.text}`);
  expect(kinds("\uFEFFtype A,,@x")).toEqual(["name type", "name A", "punctuator @", "name x"]);
  expect(kinds("-1.5e3 01 1a")).toEqual(["number -1.5e3", "bad 0", "number 1", "bad 1", "name a"]);
  expect(kinds(`'it "is"' "it's" # rest "\n x`)).toEqual([
    `string 'it "is"'`,
    `string "it's"`,
    '# rest "'.replace("#", "comment #"),
    "name x",
  ]);
  expect(kinds('"""a "b" c""" "open\nx')).toEqual(['block """a "b" c"""', 'bad "open', "name x"]);
  expect(kinds("a < b … “")).toEqual(["name a", "bad <", "name b", "bad …", "bad “"]);
});

test("strings survive being written and read", () => {
  for (const value of [
    "",
    "plain",
    'say "hi"',
    "it's",
    `both ' and "`,
    "a\nb\tc\\d",
    "\u0001",
    "😀 <script>",
    "${x}",
  ]) {
    const written = quote(value);
    expect(tokenize(written)).toHaveLength(1);
    expect(tokenize(written)[0]?.kind).toBe("string");
    expect(unquote(written)).toBe(value);
  }
});

test("definitions keep their comments, directives, parents and bodies", () => {
  const source = `# not this

# above
# it
type Child @stateType(id: "urn:a") implements Parent @stateType(id: "urn:p") { a: [Float32]! @property(id: "urn:f", isRequired: true) }
query F($x: string! = "v", $y: [Int32]) @workflowType(id: ["urn:w", "urn:w2"]) { steps { step(name: "s", outEvent: "e") @position(x: 1, y: -2.5) { Cap: dose(n: {a: $x}) } } }
enum E @enumType(id: "urn:e") { ON @enumValue(value: 3), OFF }`;
  const [child, flow, members] = parse(source);
  expect(source.slice(child?.from, child?.to)).toMatch(/^# above\n# it\ntype[\s\S]*}$/);
  expect(child?.parents).toEqual(["urn:p"]);
  expect(child?.body[0]).toMatchObject({ name: "a", type: "[Float32]!" });
  expect(flow?.parameters).toMatchObject([
    { name: "x", type: "string!", value: { text: "v" } },
    { name: "y", type: "[Int32]" },
  ]);
  expect(texts(directive(flow?.directives ?? [], "WORKFLOWTYPE")?.args ?? [], "ID")).toEqual(["urn:w", "urn:w2"]);
  const step = flow?.body[0]?.children[0];
  expect(text(step?.args ?? [], "outevent")).toBe("e");
  expect(step?.children[0]).toMatchObject({ name: "dose" });
  expect(argument(step?.children[0]?.args ?? [], "n")?.kind).toBe("object");
  expect(members?.body.map((member) => member.name)).toEqual(["ON", "OFF"]);
});

test("broken and hostile text is read to its end", () => {
  const sources = [
    "{".repeat(100_000),
    "type",
    "type X {",
    "query (((",
    "type A @x(",
    "@@@@",
    "type X implements",
    "query Q($",
    '"""',
    "[".repeat(5_000),
    "type X { a(b: [[[",
    "enum E { : : : }",
  ];
  for (const source of sources) expect(Array.isArray(parse(source))).toBe(true);
});

test("the highlighter agrees with the lexer on where names and strings are", () => {
  const source = `type A @x(id: "urn:tdm:aws:Property:String", v: '\${a}') { b: C } # end`;
  const state = EditorState.create({ doc: source, extensions: [tdmLanguage] });
  const tree = tdmLanguage.parser.parse(state.doc.toString());
  const seen: string[] = [];
  tree.iterate({
    enter: (node) => void (node.from < node.to && !node.type.isTop && seen.push(source.slice(node.from, node.to))),
  });
  expect(seen).toEqual(expect.arrayContaining(["type", "@x", '"urn:tdm:aws:Property:String"', "'${a}'", "# end"]));
});
