// MQTT topics and filters as the page checks and matches them (MQTT 5.0 section 4.7).

/** The most bytes a topic or filter may have on the wire. */
const MAX_TOPIC_BYTES = 65_535;

/** What is wrong with a filter, or null. */
export function filterMistake(filter: string): string | null {
  if (filter === "") return "Write a filter, for example plant/#";
  const common = textMistake(filter);
  if (common !== null) return common;
  const levels = filter.split("/");
  for (const [index, level] of levels.entries()) {
    if (level.includes("#") && (level !== "#" || index !== levels.length - 1)) return "# stands alone at the end";
    if (level.includes("+") && level !== "+") return "+ stands for a whole level";
  }
  return null;
}

/** What is wrong with a topic to publish to, or null. */
export function topicMistake(topic: string): string | null {
  if (topic === "") return "Write a topic";
  if (/[+#]/.test(topic)) return "A topic has no wildcards";
  return textMistake(topic);
}

function textMistake(text: string): string | null {
  if (text.includes("\0")) return "NUL is not allowed";
  return new TextEncoder().encode(text).length > MAX_TOPIC_BYTES ? "Too long" : null;
}

/** Whether `filter` takes `topic`; topics that start with `$` need a filter that does. */
export function matches(filter: string, topic: string): boolean {
  if (topic.startsWith("$") && !filter.startsWith("$")) return false;
  const want = filter.split("/");
  const have = topic.split("/");
  for (const [index, level] of want.entries()) {
    if (level === "#") return true;
    if (have[index] === undefined || (level !== "+" && level !== have[index])) return false;
  }
  return want.length === have.length;
}
