// The update of a shadow, told by case.
import { expect, it } from "vitest";
import { parseState, patch } from "./shadow-document.ts";

it.each([
  [{ a: 1 }, { a: 2 }, { a: 2 }],
  [{ a: 1, b: 2 }, { a: 1 }, { b: null }],
  [{ a: { x: 1, y: 2 } }, { a: { x: 1, y: 3 } }, { a: { y: 3 } }],
  [{ a: [1] }, { a: [1, 2] }, { a: [1, 2] }],
  [{ a: { x: 1 } }, { a: 5 }, { a: 5 }],
  [{ a: 1 }, { a: 1 }, undefined],
])("%j to %j is %j", (before, after, expected) => expect(patch(before, after)).toEqual(expected));

it("takes nothing but objects", () => {
  expect(parseState("[1]")).toHaveProperty("mistake");
  expect(parseState("{")).toHaveProperty("mistake");
  expect(parseState(" ")).toEqual({ value: {} });
});
