// What the signed-in person may do: checks gathered into one request, answers kept for a minute.
import { useQueries, useQuery } from "@tanstack/react-query";
import type { ReactNode } from "react";
import { postJson } from "./client.ts";

export interface Check {
  action: string;
  resource: string;
}

/** The server takes at most this many checks at once. */
const MAX_CHECKS = 200;
const KEEP_MILLIS = 60_000;

interface Waiting extends Check {
  resolve: (allowed: boolean) => void;
  reject: (error: unknown) => void;
}

let waiting: Waiting[] = [];

/** Asks together what components of one render ask apart. */
function ask(check: Check): Promise<boolean> {
  return new Promise((resolve, reject) => {
    if (waiting.length === 0) setTimeout(flush, 0);
    waiting.push({ ...check, resolve, reject });
  });
}

function flush(): void {
  const all = waiting;
  waiting = [];
  for (let start = 0; start < all.length; start += MAX_CHECKS) {
    const batch = all.slice(start, start + MAX_CHECKS);
    const checks = batch.map(({ action, resource }) => ({ action, resource }));
    postJson<{ allowed: boolean[] }>("may", { checks }).then(
      ({ allowed }) => batch.forEach((one, index) => void one.resolve(allowed[index] === true)),
      (error) => batch.forEach((one) => void one.reject(error)),
    );
  }
}

function queryOf(check: Check) {
  return {
    queryKey: ["may", check.action, check.resource],
    queryFn: () => ask(check),
    staleTime: KEEP_MILLIS,
  };
}

/** `undefined` until it is known; treat that as no. */
export function useMay(action: string, resource = "*"): boolean | undefined {
  return useQuery(queryOf({ action, resource })).data;
}

export function useMayAll(checks: Check[]): { known: boolean; allowed: boolean[] } {
  const answers = useQueries({ queries: checks.map(queryOf) });
  return {
    known: answers.every((answer) => answer.data !== undefined || answer.isError),
    allowed: answers.map((answer) => answer.data === true),
  };
}

/** Shows its children only to those who may. */
export function May(props: { action: string; resource?: string; children: ReactNode; otherwise?: ReactNode }) {
  const allowed = useMay(props.action, props.resource ?? "*");
  return <>{allowed ? props.children : (props.otherwise ?? null)}</>;
}
