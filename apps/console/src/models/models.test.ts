// Entities, differences, capability pictures and the wizard, on the documents of the repository.
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { parse } from "../tdm-editor/parse.ts";
import { compare, diffLines, normalised } from "./diff.ts";
import { entities, references, wire } from "./entity.ts";
import { capabilityGraph, capabilityOf } from "./graph.ts";
import { metatypeOf, parseUrn, toName, urnKey } from "./urn.ts";
import { emptyForm, formProblems, type ModelForm, writeModel } from "./wizard.ts";

const ROOT = join(process.cwd(), "../..");
const folders = [
  "crates/domain/tdm/library",
  "crates/domain/tdm/library/examples",
  "crates/domain/tdm/library/examples/modbus",
  "apps/marram/demo/sprinkler",
];
const library = folders.flatMap((folder) =>
  readdirSync(join(ROOT, folder))
    .filter((name) => /\.(graphql|tdm)$/.test(name))
    .map((name) => readFileSync(join(ROOT, folder, name), "utf8")),
);

test("every definition of the library is an entity with its references in the library", () => {
  const all = library.flatMap(entities);
  expect(all.length).toBe(library.flatMap(parse).length);
  const ids = new Set(all.map((one) => urnKey(one.id)));
  const wanted = all
    .flatMap(references)
    .filter((urn) => ["Capability", "State", "Action", "Event", "DeviceModel"].includes(metatypeOf(urn) ?? ""));
  expect(wanted.length).toBeGreaterThan(100);
  expect(wanted.filter((urn) => !ids.has(urnKey(urn)))).toEqual([]);
});

test("a camera: capability, wire and picture", () => {
  const all = library.flatMap(entities);
  const known = new Map(all.map((one) => [urnKey(one.id), one]));
  const device = all.find((one) => one.id.endsWith(":Device:RaspberryPiCamera"));
  if (!device) throw new Error("no camera");
  const capability = known.get(urnKey(capabilityOf(device, known) ?? ""));
  expect(capability?.actions.map((action) => action.name)).toEqual(["capture"]);
  expect(wire(device)).toEqual([
    {
      member: "capture",
      kind: "action",
      operation: "Publish",
      target: "$macro(${systemRuntime.deviceId}/capture)",
      answer: "$macro(${systemRuntime.deviceId}/capture/finished)",
    },
  ]);
  if (!capability) throw new Error("no capability");
  const graph = capabilityGraph(capability, known);
  expect(graph.nodes.map((node) => node.kind)).toEqual(["capability", "state", "action"]);
  expect(graph.edges).toHaveLength(2);
});

test("the comparison tells new, changed, reformatted and same apart", () => {
  const before =
    'type A @stateType(id: "urn:tdm:r-1/1/default:State:A") { x: Int32 @property(id: "urn:tdm:aws:Property:Int32") }';
  const stored = new Map([["urn:tdm:r-1/1/default:state:a", before]]);
  const change = (document: string) => compare(document, stored).map((one) => one.change);
  expect(change(before)).toEqual(["same"]);
  expect(change(before.replaceAll('"', "'").replace("{ x", "{\n  # why\n  x"))).toEqual(["reformatted"]);
  expect(change(before.replace("x:", "y:"))).toEqual(["changed"]);
  expect(change(before.replace("State:A", "State:B"))).toEqual(["new"]);
  expect(normalised("a, b")).toBe(normalised("a b"));
});

test("a line diff turns one text into the other", () => {
  const texts = ["", "a", "a\nb\nc", "b\nc", "a\nx\nc\nd", "c\nb\na"];
  for (const before of texts) {
    for (const after of texts) {
      const lines = diffLines(before, after);
      const keep = (kind: string) =>
        lines
          .filter((line) => line.kind !== kind)
          .map((line) => line.text)
          .join("\n");
      expect(keep("added")).toBe(before);
      expect(keep("removed")).toBe(after);
    }
  }
  expect(diffLines("a\nb\nc", "a\nx\nc").map((line) => line.kind)).toEqual(["same", "removed", "added", "same"]);
});

const PUMP: ModelForm = {
  ...emptyForm("us-east-1/000000000000/default"),
  name: "Garden pump",
  description: 'pumps "well" water',
  fields: [
    { name: "pressure", type: "Float32", min: "0", max: "16" },
    { name: "running", type: "Boolean", min: "", max: "" },
  ],
  events: [{ name: "started", payload: "state", topic: "" }],
  actions: [
    { name: "read", inputs: [], returns: "state", request: "", response: "", operation: "ReadCoils", address: "" },
    {
      name: "run",
      inputs: [{ name: "seconds", type: "Int32" }],
      returns: "nothing",
      request: "do/run",
      response: "",
      operation: "ReadCoils",
      address: "",
    },
  ],
};

test("the wizard writes a model whose parts refer to each other", () => {
  expect(formProblems(PUMP)).toEqual([]);
  const text = writeModel(PUMP);
  const made = entities(text);
  expect(made.map((one) => one.metatype)).toEqual([
    "Property",
    "State",
    "Property",
    "Event",
    "Action",
    "Action",
    "Capability",
    "DeviceModel",
    "Device",
  ]);
  const ids = new Set(made.map((one) => urnKey(one.id)));
  const own = made.flatMap(references).filter((urn) => !urn.startsWith("urn:tdm:aws"));
  expect(own.filter((urn) => !ids.has(urnKey(urn)))).toEqual([]);
  const device = made.at(-1);
  if (!device) throw new Error("no device");
  expect(wire(device).map((line) => line.target)).toEqual([
    "$macro(${systemRuntime.deviceId}/read)",
    "$macro(${systemRuntime.deviceId}/do/run)",
    "$macro(${systemRuntime.deviceId}/started)",
  ]);
});

test("the wizard says what is missing", () => {
  const cases: [Partial<ModelForm>, RegExp][] = [
    [{ name: " " }, /needs a name/],
    [{ fields: [], actions: PUMP.actions }, /no fields/],
    [{ protocol: "Modbus" }, /no events/],
    [{ actions: [...PUMP.actions, ...PUMP.actions] }, /twice/],
    [{ fields: [{ name: "p", type: "Int8", min: "one", max: "" }] }, /no number/],
    [{ fields: [], events: [], actions: [] }, /at least one/],
  ];
  for (const [change, message] of cases) expect(formProblems({ ...PUMP, ...change }).join(" ")).toMatch(message);
});

test("names made of what people type are names of the language", () => {
  expect(["Garden pump", "é à", "7 up", "a/b", "<img>", "日本"].map(toName)).toEqual([
    "GardenPump",
    "eA",
    "_7Up",
    "aB",
    "img",
    "",
  ]);
  expect(parseUrn("urn:tdm:aws::x")?.metatype).toBe("");
  expect(parseUrn("urn:tdm:x")).toBeNull();
});
