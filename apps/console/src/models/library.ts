// Entities of the account and of the public library, read page by page and kept.
import { useQuery } from "@tanstack/react-query";
import { useMemo } from "react";
import { call } from "../api/call.ts";
import { type Entity, entities } from "./entity.ts";
import { urnKey } from "./urn.ts";

export const ENTITY_TYPES = [
  "DEVICE_MODEL",
  "DEVICE",
  "SERVICE",
  "CAPABILITY",
  "STATE",
  "EVENT",
  "ACTION",
  "PROPERTY",
  "ENUM",
  "MAPPING",
] as const;
export type EntityType = (typeof ENTITY_TYPES)[number];

export interface EntityDescription {
  readonly id: string;
  readonly arn?: string;
  readonly type: EntityType;
  readonly createdAt?: number;
  readonly definition?: { readonly language: string; readonly text: string };
}

const PAGE = 250;
/** More entities than this are found by searching, not by scrolling. */
const MAX_PAGES = 40;

async function loadAll(types: readonly EntityType[], signal: AbortSignal): Promise<EntityDescription[]> {
  const found: EntityDescription[] = [];
  let nextToken: string | undefined;
  for (let page = 0; page < MAX_PAGES; page += 1) {
    const input = { entityTypes: types, maxResults: PAGE, ...(nextToken ? { nextToken } : {}) };
    const answer = await call<{ descriptions?: EntityDescription[]; nextToken?: string }>(
      "iotthingsgraph",
      "SearchEntities",
      input,
      signal,
    );
    found.push(...(answer.descriptions ?? []));
    nextToken = answer.nextToken;
    if (!nextToken) break;
  }
  return found;
}

/** Query key of everything that reads entities; an upload makes it stale. */
export const LIBRARY_KEY = ["library"] as const;

/** All entities of some types with their structure. */
export function useLibrary(types: readonly EntityType[]) {
  const query = useQuery({
    queryKey: [...LIBRARY_KEY, ...types],
    queryFn: ({ signal }) => loadAll(types, signal),
    staleTime: 60_000,
  });
  const all = useMemo(() => (query.data ?? []).flatMap((one) => describe(one)), [query.data]);
  const known = useMemo(() => new Map(all.map((one) => [urnKey(one.id), one])), [all]);
  return { ...query, all, known };
}

/** The structure of an entity as the server tells it; its id is the canonical one. */
export function describe(description: EntityDescription): Entity[] {
  const text = description.definition?.text;
  if (!text) return [];
  const found = entities(text).find((one) => urnKey(one.id) === urnKey(description.id)) ?? entities(text)[0];
  return found ? [{ ...found, id: description.id }] : [];
}
