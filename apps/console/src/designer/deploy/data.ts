// What the deploy page reads: candidates for roles of devices, groups, the role's permissions.
import { useQueries, useQuery } from "@tanstack/react-query";
import { call } from "../../api/call.ts";
import { postJson } from "../../api/client.ts";
import type { Entity } from "../../models/entity.ts";
import { sameUrn } from "../../models/urn.ts";
import { type Deployment, GRAPH, useDeployments } from "../api.ts";
import type { Role } from "../publish.ts";

export interface Candidate {
  readonly thing: string;
  readonly device: Entity;
}

/** Devices that can play a role: the device itself, or all that implement its model. */
export function devicesFor(role: Pick<Role, "urn">, all: readonly Entity[]): Entity[] {
  return all.filter(
    (one) =>
      one.metatype === "Device" &&
      (sameUrn(one.id, role.urn) || (one.model !== undefined && sameUrn(one.model, role.urn))),
  );
}

/** Things associated with devices, for all devices at once. */
export function useCandidates(devices: readonly Entity[]) {
  const queries = useQueries({
    queries: devices.map((device) => ({
      queryKey: [GRAPH, "SearchThings", device.id],
      queryFn: async ({ signal }: { signal: AbortSignal }) => {
        const answer = await call<{ things?: { thingName: string }[] }>(
          GRAPH,
          "SearchThings",
          { entityId: device.id, maxResults: 200 },
          signal,
        );
        return (answer.things ?? []).map((thing): Candidate => ({ thing: thing.thingName, device }));
      },
    })),
  });
  return {
    pending: queries.some((query) => query.isPending),
    error: queries.find((query) => query.error)?.error ?? null,
    all: queries.flatMap((query) => query.data ?? []),
  };
}

/** Roles of the account that Things Graph may act with, best first. */
export function useFlowRoles() {
  return useQuery({
    queryKey: ["iam", "ListRoles", "flows"],
    queryFn: async ({ signal }) => {
      const answer = await call<{ Roles?: { Arn: string; AssumeRolePolicyDocument?: unknown }[] }>(
        "iam",
        "ListRoles",
        { MaxItems: 200 },
        signal,
      );
      const trusts = (document: unknown) => {
        const text = typeof document === "string" ? document : JSON.stringify(document ?? "");
        return /iotthingsgraph/.test(text) || /iotthingsgraph/.test(safeDecode(text));
      };
      const roles = (answer.Roles ?? []).map((role) => ({
        arn: role.Arn,
        trusted: trusts(role.AssumeRolePolicyDocument),
      }));
      return roles.sort((one, other) => Number(other.trusted) - Number(one.trusted));
    },
    retry: false,
  });
}

function safeDecode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

export function useGroups(enabled: boolean) {
  return useQuery({
    queryKey: ["iot", "ListThingGroups", "names"],
    queryFn: async ({ signal }) => {
      const answer = await call<{ thingGroups?: { groupName: string }[] }>(
        "iot",
        "ListThingGroups",
        { maxResults: 200 },
        signal,
      );
      return (answer.thingGroups ?? []).map((group) => group.groupName);
    },
    enabled,
    retry: false,
  });
}

/** How many deployments are asked which bucket they use. */
const ASKED = 5;

/** Buckets that other flows on gateways use, each once. */
export function useBuckets(enabled: boolean): string[] {
  const deployments = useDeployments(false);
  const known = enabled ? deployments.items.filter((one) => one.target === "GREENGRASS").slice(0, ASKED) : [];
  const read = useQueries({
    queries: known.map(({ id }) => ({
      queryKey: [GRAPH, "GetSystemInstance", { id }],
      queryFn: ({ signal }: { signal: AbortSignal }) =>
        call<{ description: Deployment }>(GRAPH, "GetSystemInstance", { id }, signal),
      retry: false,
    })),
  });
  return [...new Set(read.flatMap((one) => one.data?.description.s3BucketName ?? []))];
}

export interface Grants {
  readonly allows: readonly { readonly action: string; readonly resource: string; readonly policy?: string }[];
  readonly denies: readonly { readonly action: string; readonly resource: string; readonly policy?: string }[];
}

/** What a principal's policies say; fails for those who may not ask. */
export function useGrants(principal: string | null) {
  return useQuery({
    queryKey: ["can", principal],
    queryFn: ({ signal }) => postJson<Grants>("can", { principal }, signal),
    enabled: principal !== null,
    retry: false,
  });
}
