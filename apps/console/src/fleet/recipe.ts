// Recipes as the API gives them: text, defaults, ARNs of versions.
import { call } from "../api/call.ts";
import { isDenied, isNotFound } from "../api/client.ts";
import { decodeText, prettyJson } from "../ui/format.ts";
import type { Json } from "./provenance.ts";

export function versionArn(session: { region: string; account: string }, name: string, version: string): string {
  return `arn:aws:greengrass:${session.region}:${session.account}:components:${name}:versions:${version}`;
}

export async function recipeText(arn: string, signal?: AbortSignal): Promise<string> {
  const output = await call<{ recipe: string }>(
    "greengrassv2",
    "GetComponent",
    { arn, recipeOutputFormat: "JSON" },
    signal,
  );
  return prettyJson(decodeText(output.recipe) ?? "");
}

/** The default configuration of a version; components that are part of the runtime are not in the account. */
export async function recipeDefaults(arn: string, signal?: AbortSignal): Promise<{ known: boolean; value: Json }> {
  let text: string;
  try {
    text = await recipeText(arn, signal);
  } catch (error) {
    if (isNotFound(error) || isDenied(error)) return { known: false, value: {} };
    throw error;
  }
  return { known: true, value: defaultsOf(text) };
}

/** `ComponentConfiguration.DefaultConfiguration` of a recipe; its keys may be written in any case. */
export function defaultsOf(recipe: string): Json {
  try {
    const configuration = member(JSON.parse(recipe) as Json, "componentconfiguration");
    return member(configuration, "defaultconfiguration") ?? {};
  } catch {
    return {};
  }
}

function member(value: Json, name: string): Json {
  if (value === null || typeof value !== "object" || Array.isArray(value)) return null;
  const key = Object.keys(value).find((one) => one.toLowerCase() === name);
  return key === undefined ? null : (value[key] ?? null);
}
