// Where a configuration value comes from, told by case.
import { expect, it } from "vitest";
import { type Json, type Layer, trace } from "./provenance.ts";

const DEFAULTS: Json = { topic: "a", limits: { max: 5, min: 1 }, list: [1, 2] };
const layer = (label: string, reset: string[], merge?: Json): Layer => ({
  label,
  update: { reset, ...(merge !== undefined && { merge: JSON.stringify(merge) }) },
});
const told = (layers: Layer[]) =>
  trace(DEFAULTS, "defaults", layers).map(
    ({ path, value, from }) => `${path.join(".")}=${JSON.stringify(value)} ${from.label}`,
  );

it("names the layer that set each value last", () => {
  expect(told([layer("one", [], { limits: { max: 7 } }), layer("two", [], { topic: "b" })])).toEqual([
    "limits.max=7 one",
    "limits.min=1 defaults",
    "list=[1,2] defaults",
    'topic="b" two',
  ]);
});

it("replaces lists whole", () => expect(told([layer("one", [], { list: [3] })])).toContain("list=[3] one"));

it("resets a pointer to its default before it merges", () => {
  const changed = layer("one", [], { limits: { max: 7, extra: true } });
  expect(told([changed, layer("two", ["/limits/max", "/limits/extra"], { limits: { min: 0 } })])).toEqual([
    "limits.max=5 defaults",
    "limits.min=0 two",
    "list=[1,2] defaults",
    'topic="a" defaults',
  ]);
});

it("resets everything with an empty pointer", () => {
  expect(told([layer("one", [], { topic: "z" }), layer("two", [""])])).toContain('topic="a" defaults');
});
