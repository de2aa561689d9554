// Uploads and namespaces: the calls behind the model pages.
import { useQuery } from "@tanstack/react-query";
import { call } from "../api/call.ts";
import type { EntityDescription } from "./library.ts";
import { urnKey } from "./urn.ts";

export interface Namespace {
  readonly namespaceName: string;
  readonly namespaceVersion?: number;
  readonly trackingNamespaceName?: string;
  readonly trackingNamespaceVersion?: number;
}

export interface UploadStatus {
  readonly uploadId: string;
  readonly uploadStatus: "IN_PROGRESS" | "SUCCEEDED" | "FAILED";
  readonly namespaceVersion?: number;
  readonly failureReason?: readonly string[];
}

export interface UploadInput {
  readonly text?: string;
  readonly sync?: boolean;
  readonly deprecate?: boolean;
}

const SERVICE = "iotthingsgraph";
const POLL_MS = 400;
const GIVE_UP_MS = 120_000;
/** GetEntities takes this many ids. */
const MAX_IDS = 25;

export const NAMESPACE_KEY = [SERVICE, "DescribeNamespace"] as const;

/** The account's namespace; null before the first upload. `aws` asks for the public one. */
export function useNamespace(name?: string) {
  return useQuery({
    queryKey: [...NAMESPACE_KEY, name ?? ""],
    queryFn: async ({ signal }): Promise<Namespace | null> => {
      try {
        return await call<Namespace>(SERVICE, "DescribeNamespace", name ? { namespaceName: name } : {}, signal);
      } catch (failure) {
        if ((failure as { code?: string }).code === "ResourceNotFoundException") return null;
        throw failure;
      }
    },
  });
}

/** Starts an upload and follows it to its end; `progress` hears each status. */
export async function upload(input: UploadInput, progress: (status: UploadStatus) => void): Promise<UploadStatus> {
  const started = await call<{ uploadId: string }>(SERVICE, "UploadEntityDefinitions", {
    ...(input.text === undefined ? {} : { document: { language: "GRAPHQL", text: input.text } }),
    ...(input.sync ? { syncWithPublicNamespace: true } : {}),
    ...(input.deprecate ? { deprecateExistingEntities: true } : {}),
  });
  const deadline = Date.now() + GIVE_UP_MS;
  for (;;) {
    const status = await call<UploadStatus>(SERVICE, "GetUploadStatus", { uploadId: started.uploadId });
    progress(status);
    if (status.uploadStatus !== "IN_PROGRESS") return status;
    if (Date.now() > deadline) throw new Error("The upload is still going on. Look at this page again in a while.");
    await new Promise((done) => setTimeout(done, POLL_MS));
  }
}

/** Stored definitions by lower-cased URN; ids that do not exist are left out. */
export async function storedDefinitions(ids: readonly string[], signal?: AbortSignal): Promise<Map<string, string>> {
  const found = new Map<string, string>();
  const read = async (some: readonly string[]): Promise<void> => {
    if (some.length === 0) return;
    try {
      const answer = await call<{ descriptions?: EntityDescription[] }>(SERVICE, "GetEntities", { ids: some }, signal);
      for (const one of answer.descriptions ?? []) if (one.definition) found.set(urnKey(one.id), one.definition.text);
    } catch (failure) {
      if ((failure as { code?: string }).code !== "ResourceNotFoundException") throw failure;
      // One missing id fails the whole call: the halves are asked apart.
      if (some.length === 1) return;
      const middle = Math.ceil(some.length / 2);
      await read(some.slice(0, middle));
      await read(some.slice(middle));
    }
  };
  for (let start = 0; start < ids.length; start += MAX_IDS) await read(ids.slice(start, start + MAX_IDS));
  return found;
}
