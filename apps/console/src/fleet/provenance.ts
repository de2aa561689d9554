// The configuration of a component on a core, and who set each value: the recipe's defaults, then deployments in the order
// the core carried them out (`reset` before `merge`, as the nucleus does).
import type { ConfigurationUpdate } from "./types.ts";

export type Json = null | boolean | number | string | Json[] | { [key: string]: Json };

export interface Layer {
  /** What the person sees: "Defaults of version 1.2.0", a deployment's name. */
  label: string;
  /** The deployment, when it is one. */
  deploymentId?: string;
  update: ConfigurationUpdate;
}

export interface Value {
  /** Keys from the root. */
  path: string[];
  value: Json;
  from: Layer;
}

interface Leaf {
  value: Json;
  from: Layer;
}

type Tree = Map<string, Tree | Leaf>;

const isObject = (value: Json): value is { [key: string]: Json } =>
  value !== null && typeof value === "object" && !Array.isArray(value);
const isTree = (node: Tree | Leaf | undefined): node is Tree => node instanceof Map;

/** Every leaf of the resulting configuration with the layer it comes from, sorted by path. */
export function trace(defaults: Json, defaultsLabel: string, layers: Layer[]): Value[] {
  const base: Layer = { label: defaultsLabel, update: {} };
  const root: Tree = new Map();
  if (isObject(defaults)) merge(root, defaults, base);
  for (const layer of layers) {
    for (const pointer of layer.update.reset ?? []) reset(root, pointer, defaults, base);
    const change = parse(layer.update.merge);
    if (isObject(change)) merge(root, change, layer);
  }
  return leaves(root, []).sort((a, b) => (a.path.join("/") < b.path.join("/") ? -1 : 1));
}

function parse(text: string | undefined): Json {
  if (text === undefined || text === "") return null;
  try {
    return JSON.parse(text) as Json;
  } catch {
    return null;
  }
}

/** Objects merge key by key; anything else, lists too, replaces. */
function merge(tree: Tree, change: { [key: string]: Json }, from: Layer): void {
  for (const [key, value] of Object.entries(change)) {
    if (isObject(value)) {
      const old = tree.get(key);
      const below: Tree = isTree(old) ? old : new Map();
      tree.set(key, below);
      merge(below, value, from);
    } else {
      tree.set(key, { value, from });
    }
  }
}

/** Puts back the default at a JSON pointer (RFC 6901); without a default the value goes. */
function reset(root: Tree, pointer: string, defaults: Json, base: Layer): void {
  const keys =
    pointer === ""
      ? []
      : pointer
          .split("/")
          .slice(1)
          .map((key) => key.replaceAll("~1", "/").replaceAll("~0", "~"));
  const last = keys.pop();
  if (last === undefined) {
    root.clear();
    if (isObject(defaults)) merge(root, defaults, base);
    return;
  }
  let tree: Tree = root;
  let original: Json = defaults;
  for (const key of keys) {
    const below = tree.get(key);
    if (!isTree(below)) return;
    tree = below;
    original = isObject(original) ? (original[key] ?? null) : null;
  }
  tree.delete(last);
  if (isObject(original) && original[last] !== undefined) merge(tree, { [last]: original[last] }, base);
}

function leaves(tree: Tree, path: string[]): Value[] {
  return [...tree].flatMap(([key, node]) => {
    const here = [...path, key];
    return isTree(node) ? leaves(node, here) : [{ path: here, value: node.value, from: node.from }];
  });
}
