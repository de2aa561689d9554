// Order of changes between a page and the language service: one at a time, merged, re-run when typing overtakes them.
import { expect, test, vi } from "vitest";
import type { Language } from "../tdm-editor/service.ts";
import type { Drawing, Edit } from "./drawing.ts";
import { DocumentSession } from "./session.ts";

const drawing: Drawing = { flows: [], systems: [], diagnostics: [] };
const note = (text: string): Edit => ({ op: "replace", from: 0, to: 0, text });

/** A language whose edits append what they hold, answered when the test says so. */
function language() {
  const waiting: { edits: readonly Edit[]; text: string; answer: (fail?: string) => void }[] = [];
  const service: Language = {
    flow: async () => drawing,
    edit: (text, edits) =>
      new Promise((resolve, reject) => {
        const added = edits.map((edit) => (edit.op === "replace" ? edit.text : "")).join("");
        const answer = (fail?: string) =>
          fail ? reject(new Error(fail)) : resolve({ text: text + added, drawing, diagnostics: [] });
        waiting.push({ edits, text, answer });
      }),
  };
  return { service, waiting };
}

const settle = () => new Promise((resolve) => setTimeout(resolve, 0));

test("edits wait for each other; those of one key that pile up go in one request", async () => {
  const { service, waiting } = language();
  const session = new DocumentSession(service, "t");
  void session.edit([note("1")], "one");
  void session.edit([note("2")], "move", "move");
  void session.edit([note("3")], "move", "move");
  const last = session.edit([note("4")], "four");
  expect(waiting).toHaveLength(1);
  waiting[0]?.answer();
  await settle();
  expect(waiting[1]?.edits).toHaveLength(2);
  waiting[1]?.answer();
  await settle();
  waiting[2]?.answer();
  await last;
  expect(session.get().text).toBe("t1234");
  expect(session.undo()).toBe("four");
  expect(session.get().text).toBe("t123");
  expect(session.undo()).toBe("move");
  expect(session.get().text).toBe("t1");
});

test("typing that overtakes an edit makes it run again on what was typed", async () => {
  const { service, waiting } = language();
  const session = new DocumentSession(service, "old");
  const edit = session.edit([note("!")], "edit");
  session.type("new");
  waiting[0]?.answer();
  await settle();
  expect(waiting[1]?.text).toBe("new");
  waiting[1]?.answer();
  await edit;
  expect(session.get().text).toBe("new!");
});

test("a refused edit changes nothing, says why, and the next one goes on", async () => {
  const { service, waiting } = language();
  const session = new DocumentSession(service, "t");
  const refused = session.edit([note("x")], "bad");
  const next = session.edit([note("y")], "good");
  waiting[0]?.answer("no such step");
  await expect(refused).rejects.toThrow("no such step");
  expect(session.get().error).toBe("no such step");
  await settle();
  waiting[1]?.answer();
  await next;
  expect(session.get().text).toBe("ty");
});

test("a drawing that arrives after the text changed is not shown", async () => {
  vi.useFakeTimers();
  const answers: ((drawing: Drawing) => void)[] = [];
  const service: Language = {
    flow: () => new Promise((resolve) => answers.push(resolve)),
    edit: () => Promise.reject(new Error("unused")),
  };
  const session = new DocumentSession(service, "a");
  session.start();
  session.type("ab");
  answers[0]?.({ ...drawing, systems: [] });
  await vi.runAllTimersAsync();
  expect(session.get().drawing).toBeNull();
  answers[1]?.(drawing);
  await vi.runAllTimersAsync();
  expect(session.get().drawnText).toBe("ab");
  vi.useRealTimers();
});
