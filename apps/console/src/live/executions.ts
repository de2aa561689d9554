// Executions of a deployment and the messages of one, from history and as they happen.
import { useQuery, useQueryClient } from "@tanstack/react-query";
import { useCallback, useEffect, useMemo, useRef, useState } from "react";
import { call } from "../api/call.ts";
import { type StreamState, useEventStream } from "../api/stream.ts";
import { type ExecutionSummary, GRAPH } from "../designer/api.ts";
import { fold, type Message, messageOf, type RunView } from "./fold.ts";

/** An event of `live/executions`. */
interface LiveEvent {
  readonly execution: string;
  readonly flow?: string;
  readonly state?: ExecutionSummary["status"];
  readonly event?: string;
  readonly messageId?: string;
  readonly at?: number;
  readonly payload?: string;
}

export interface HistoryFilter {
  readonly status: ExecutionSummary["status"] | null;
  /** Seconds back from now; null: everything that is kept. */
  readonly within: number | null;
  readonly execution: string;
}

const LIST_MAX = 100;
const MESSAGES_MAX = 250;
/** Longest trace that is drawn. */
const MAX_PAGES = 80;
/** How long several live events wait for one refresh of the list. */
const GATHER_MS = 400;
const POLL_MS = 2_000;

/** Newest executions of a deployment. */
export function useExecutions(deployment: string, filter: HistoryFilter, live: boolean) {
  const { status, within, execution } = filter;
  return useQuery({
    queryKey: [GRAPH, "SearchFlowExecutions", deployment, within, execution],
    queryFn: async ({ signal }) => {
      const found: ExecutionSummary[] = [];
      let nextToken: string | undefined;
      const startTime = within === null ? {} : { startTime: Date.now() / 1000 - within };
      const one = execution.trim() === "" ? {} : { flowExecutionId: execution.trim() };
      do {
        const input = {
          systemInstanceId: deployment,
          maxResults: LIST_MAX,
          ...startTime,
          ...one,
          ...(nextToken ? { nextToken } : {}),
        };
        const page = await call<{ summaries?: ExecutionSummary[]; nextToken?: string }>(
          GRAPH,
          "SearchFlowExecutions",
          input,
          signal,
        );
        found.push(...(page.summaries ?? []));
        nextToken = page.nextToken;
      } while (nextToken && found.length < LIST_MAX);
      return found;
    },
    select: useCallback(
      (all: ExecutionSummary[]) => (status === null ? all : all.filter((summary) => summary.status === status)),
      [status],
    ),
    refetchInterval: live ? 15_000 : POLL_MS,
    placeholderData: (before) => before,
  });
}

async function readMessages(execution: string, signal: AbortSignal): Promise<Message[]> {
  const found: Message[] = [];
  let nextToken: string | undefined;
  for (let page = 0; page < MAX_PAGES; page += 1) {
    const input = { flowExecutionId: execution, maxResults: MESSAGES_MAX, ...(nextToken ? { nextToken } : {}) };
    const answer = await call<{ messages?: Parameters<typeof messageOf>[0][]; nextToken?: string }>(
      GRAPH,
      "ListFlowExecutionMessages",
      input,
      signal,
    );
    found.push(...(answer.messages ?? []).map(messageOf));
    nextToken = answer.nextToken;
    if (!nextToken) break;
  }
  return found;
}

/** Messages of both lists in order, each once. */
export function merge(history: readonly Message[], live: readonly Message[]): Message[] {
  const seen = new Set(history.flatMap((message) => message.id ?? []));
  const fresh = live.filter((message) => message.id === undefined || !seen.has(message.id));
  if (fresh.length === 0) return [...history];
  const order = (message: Message) => Number(message.id ?? Number.NaN);
  const all = [...history, ...fresh];
  return all.every((message) => Number.isFinite(order(message)))
    ? all.sort((one, other) => order(one) - order(other))
    : all.sort((one, other) => one.at - other.at);
}

export interface Watched {
  readonly stream: StreamState;
  readonly messages: readonly Message[];
  readonly run: RunView;
  readonly pending: boolean;
  readonly error: unknown;
}

/** Listens to a deployment; gives the messages of one execution, history and news together. `started` hears new executions. */
export function useWatch(
  deployment: string | null,
  execution: string | null,
  started: (execution: string) => void,
): Watched {
  const queries = useQueryClient();
  const [live, setLive] = useState<{ execution: string; messages: Message[] }>({ execution: "", messages: [] });
  const known = useRef(new Set<string>());
  const timer = useRef<ReturnType<typeof setTimeout> | null>(null);
  const stream = useEventStream(
    deployment === null ? null : `live/executions?deployment=${encodeURIComponent(deployment)}`,
    {
      execution: (data) => {
        const event = data as LiveEvent;
        timer.current ??= setTimeout(() => {
          timer.current = null;
          void queries.invalidateQueries({ queryKey: [GRAPH, "SearchFlowExecutions", deployment] });
        }, GATHER_MS);
        if (!known.current.has(event.execution)) {
          known.current.add(event.execution);
          started(event.execution);
        }
        const message = messageOf({
          ...(event.event ? { eventType: event.event } : {}),
          ...(event.at === undefined ? {} : { timestamp: event.at }),
          ...(event.payload === undefined ? {} : { payload: event.payload }),
          ...(event.messageId ? { messageId: event.messageId } : {}),
        });
        setLive((before) =>
          before.execution === event.execution || event.execution === execution
            ? {
                execution: event.execution,
                messages: before.execution === event.execution ? [...before.messages, message] : [message],
              }
            : before,
        );
      },
      lost: () => void queries.invalidateQueries({ queryKey: [GRAPH] }),
    },
  );
  useEffect(() => () => void (timer.current !== null && clearTimeout(timer.current)), []);
  const open = stream === "open";
  const history = useQuery({
    queryKey: [GRAPH, "ListFlowExecutionMessages", execution],
    queryFn: ({ signal }) => readMessages(execution ?? "", signal),
    enabled: execution !== null,
    refetchInterval: (query) => {
      const last = query.state.data?.at(-1)?.type ?? "";
      return open || /^EXECUTION_(SUCCEEDED|FAILED|ABORTED)$/.test(last) ? false : POLL_MS;
    },
  });
  const messages = useMemo(
    () => merge(history.data ?? [], live.execution === execution ? live.messages : []),
    [history.data, live, execution],
  );
  const run = useMemo(() => fold(messages), [messages]);
  return { stream, messages, run, pending: execution !== null && history.isPending, error: history.error };
}

/** The short form of an execution id: its time, trigger and the end of its number. */
export function executionName(id: string): { time: string; trigger: string; tail: string } {
  const parts = /_(\d{4}-\d\d-\d\dT[\d:.]+Z)_(.*)_([0-9a-f-]{36})$/i.exec(id);
  if (!parts) return { time: "", trigger: id, tail: "" };
  return { time: parts[1] ?? "", trigger: parts[2] ?? "", tail: (parts[3] ?? "").slice(-6) };
}
