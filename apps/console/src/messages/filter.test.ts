// Filters and topics, told by case.
import { describe, expect, it } from "vitest";
import { filterMistake, matches, topicMistake } from "./filter.ts";

describe("MQTT 4.7", () => {
  it.each([
    ["a/#", "a", true],
    ["a/#", "a/b/c", true],
    ["a/+/c", "a/b/c", true],
    ["a/+", "a/b/c", false],
    ["a/+", "a", false],
    ["#", "$aws/things", false],
    ["$aws/#", "$aws/things", true],
    ["+/b", "/b", true],
  ])("%s takes %s: %s", (filter, topic, taken) => expect(matches(filter, topic)).toBe(taken));

  it.each(["", "a/#/b", "a#", "a/b+", "a\0"])("refuses the filter %j", (filter) =>
    expect(filterMistake(filter)).not.toBeNull(),
  );
  it.each(["#", "+", "a/+/b/#", "/", "a//b"])("takes the filter %j", (filter) =>
    expect(filterMistake(filter)).toBeNull(),
  );
  it.each(["", "a/+", "#"])("refuses the topic %j", (topic) => expect(topicMistake(topic)).not.toBeNull());
});
