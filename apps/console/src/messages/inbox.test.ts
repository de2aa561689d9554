// The test client's list: bounded, and a pause loses nothing of what it keeps.
import { expect, it } from "vitest";
import { EMPTY_INBOX, inboxStep, KEPT_MESSAGES, readable } from "./inbox.ts";

const message = (topic: string) => ({
  type: "message" as const,
  filter: "#",
  message: { topic, payload: "", qos: 0, retained: false, at: 0 },
});

it("keeps the newest and counts all", () => {
  let inbox = EMPTY_INBOX;
  for (let index = 0; index < KEPT_MESSAGES + 5; index += 1) inbox = inboxStep(inbox, message(`t${index}`));
  expect(inbox.messages.length).toBe(KEPT_MESSAGES);
  expect(inbox.messages[0]?.topic).toBe(`t${KEPT_MESSAGES + 4}`);
  expect(inbox.total).toBe(KEPT_MESSAGES + 5);
});

it("shows after a pause what came during it, newest first", () => {
  let inbox = inboxStep(EMPTY_INBOX, message("a"));
  inbox = inboxStep(inbox, { type: "pause", paused: true });
  inbox = inboxStep(inboxStep(inbox, message("b")), message("c"));
  expect(inbox.messages.map((one) => one.topic)).toEqual(["a"]);
  inbox = inboxStep(inbox, { type: "pause", paused: false });
  expect(inbox.messages.map((one) => one.topic)).toEqual(["c", "b", "a"]);
});

it("reads JSON, text and bytes", () => {
  expect(readable(btoa('{"a":1}'), true)).toBe('{\n  "a": 1\n}');
  expect(readable(btoa('{"a":1}'), false)).toBe('{"a":1}');
  expect(readable(btoa("\u00ff\u0000"), true)).toBe("ff 00");
});
