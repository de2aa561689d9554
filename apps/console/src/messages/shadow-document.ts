// A shadow document as the editor needs it, and the update that turns what was read into what was written.

export type Json = null | boolean | number | string | Json[] | { [key: string]: Json };
export type JsonObject = { [key: string]: Json };

export interface ShadowDocument {
  state: { desired?: JsonObject; reported?: JsonObject; delta?: JsonObject };
  version: number;
  /** Epoch seconds. */
  timestamp?: number;
}

export const isObject = (value: Json | undefined): value is JsonObject =>
  value !== null && typeof value === "object" && !Array.isArray(value);

/** An object from text, or what is wrong with it. */
export function parseState(text: string): { value: JsonObject } | { mistake: string } {
  if (text.trim() === "") return { value: {} };
  let value: Json;
  try {
    value = JSON.parse(text) as Json;
  } catch (error) {
    return { mistake: error instanceof Error ? error.message : "not JSON" };
  }
  return isObject(value) ? { value } : { mistake: "A shadow's state is a JSON object" };
}

/**
 * The patch from `before` to `after` in the service's language: members that went are null, objects merge, all else replaces.
 * Undefined when nothing changed.
 */
export function patch(before: JsonObject, after: JsonObject): JsonObject | undefined {
  const result: JsonObject = {};
  for (const key of Object.keys(before)) if (!(key in after)) result[key] = null;
  for (const [key, value] of Object.entries(after)) {
    const old = before[key];
    if (isObject(value) && isObject(old)) {
      const below = patch(old, value);
      if (below !== undefined) result[key] = below;
    } else if (JSON.stringify(value) !== JSON.stringify(old)) {
      result[key] = value;
    }
  }
  return Object.keys(result).length === 0 ? undefined : result;
}
