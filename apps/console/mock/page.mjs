// Keyset paging of the scripted server: the token names the last item given.
import { Fault } from "./server.mjs";

/** One page of `items` (an array or any iterable), `{items, nextToken}`; `keyOf` names an item. */
export function page(items, { max = 100, token }, keyOf) {
  const after = token ? Buffer.from(token, "base64url").toString() : undefined;
  const all = Array.isArray(items) ? items : [...items];
  const start = after === undefined ? 0 : all.findIndex((item) => keyOf(item) === after) + 1;
  if (after !== undefined && start === 0) throw new Fault(400, "InvalidRequestException", "the token is not valid");
  const part = all.slice(start, start + max);
  const more = start + max < all.length;
  return { items: part, nextToken: more ? Buffer.from(keyOf(part[part.length - 1])).toString("base64url") : undefined };
}
