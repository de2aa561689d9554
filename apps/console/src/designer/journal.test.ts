// Undo and redo restore texts exactly, merge what belongs together, and refuse texts they do not know.
import { expect, test } from "vitest";
import { apply, inverse, Journal, spliceOf } from "./journal.ts";

test("a splice is the smallest change and its inverse takes it back", () => {
  const texts = ["", "abc", "aXc", "abcabc", "a😀c", "a😁c", "\r\nabc"];
  for (const before of texts) {
    for (const after of texts) {
      const splice = spliceOf(before, after);
      if (!splice) expect(before).toBe(after);
      else {
        expect(apply(before, splice)).toBe(after);
        expect(apply(after, inverse(splice))).toBe(before);
        expect(splice.removed.length + splice.inserted.length).toBeLessThanOrEqual(before.length + after.length);
      }
    }
  }
  expect(spliceOf("a😀c", "a😁c")).toEqual({ at: 1, removed: "😀", inserted: "😁" });
});

test("a random walk of edits, undos and redos never loses a character", () => {
  let seed = 42;
  const random = (below: number) => {
    seed = (seed * 1103515245 + 12345) % 2147483648;
    return seed % below;
  };
  let journal = Journal.EMPTY;
  const history = [""];
  let at = 0;
  for (let turn = 0; turn < 400; turn += 1) {
    const text = history[at] ?? "";
    const dice = random(4);
    if (dice === 0 && at > 0) {
      const back = journal.undo(text);
      expect(back?.text).toBe(history[at - 1]);
      journal = back?.journal ?? journal;
      at -= 1;
    } else if (dice === 1 && at < history.length - 1) {
      const forth = journal.redo(text);
      expect(forth?.text).toBe(history[at + 1]);
      journal = forth?.journal ?? journal;
      at += 1;
    } else {
      const place = random(text.length + 1);
      const after =
        text.slice(0, place) +
        String.fromCharCode(97 + random(26)).repeat(1 + random(3)) +
        text.slice(place + random(3));
      if (after === text) continue;
      journal = journal.record(text, after, "typing", turn * 5_000);
      history.splice(at + 1, history.length, after);
      at += 1;
    }
  }
});

test("quick changes with one key are one step, others are not", () => {
  let journal = Journal.EMPTY.record("", "a", "Move", 0, "move").record("a", "ab", "Move", 500, "move");
  expect(journal.undo("ab")?.text).toBe("");
  journal = Journal.EMPTY.record("", "a", "Move", 0, "move").record("a", "ab", "Move", 5_000, "move");
  expect(journal.undo("ab")?.text).toBe("a");
  expect(journal.undo("something else")).toBeNull();
});
