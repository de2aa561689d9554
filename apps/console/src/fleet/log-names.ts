// Names of log groups and streams as the log manager makes them (/aws/greengrass/KIND/REGION/COMPONENT, /DATE/thing/CORE).

/** The component of a log group; other groups keep their whole name. */
export function groupLabel(name: string): string {
  const match = /^\/aws\/greengrass\/([^/]+)\/[^/]+\/(.+)$/.exec(name);
  if (!match) return name;
  return match[1] === "GreengrassSystemComponent" ? `${match[2]} (runtime)` : (match[2] ?? name);
}

/** The group asked for, else the one of the component, else the first of a component, else the first. */
export function pickGroup(
  names: string[],
  group: string | undefined,
  component: string | undefined,
): string | undefined {
  if (group !== undefined && names.includes(group)) return group;
  if (component !== undefined) {
    const own = names.find((name) => name.endsWith(`/${component}`));
    if (own !== undefined) return own;
  }
  return names.find((name) => name.includes("/UserComponent/")) ?? names[0];
}

/** The cores that wrote, and the streams of one of them. */
export function streamsOf(streams: string[], core: string | undefined): { cores: string[]; chosen: string[] } {
  const owner = (stream: string) => /\/thing\/(.+)$/.exec(stream)?.[1] ?? stream;
  return {
    cores: [...new Set(streams.map(owner))].sort(),
    chosen: core === undefined ? [] : streams.filter((stream) => owner(stream) === core),
  };
}

/** How loud a line is, by the word the runtimes write. */
export function severity(message: string): "error" | "warn" | undefined {
  if (/\b(ERROR|FATAL|CRITICAL)\b|"level":\s*"(ERROR|FATAL)"/.test(message)) return "error";
  if (/\bWARN(ING)?\b|"level":\s*"WARN"/.test(message)) return "warn";
  return undefined;
}
