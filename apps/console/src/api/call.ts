// The AWS API as seen by a page: `call` once, `useCall` to read and keep, `useAllPages` to page, `useAction` to change.
import { notifications } from "@mantine/notifications";
import { type QueryKey, useInfiniteQuery, useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { ApiError, postJson } from "./client.ts";

/** The services of the operation table, by endpoint prefix. */
export type Service =
  | "iotthingsgraph"
  | "iot"
  | "iot-data"
  | "iot-jobs-data"
  | "greengrassv2"
  | "iam"
  | "sts"
  | "cloudtrail"
  | "logs"
  | "cloudwatch"
  | "secretsmanager";

export type Input = Record<string, unknown>;

export async function call<T>(service: Service, operation: string, input: Input = {}, signal?: AbortSignal) {
  const answer = await postJson<{ output: T }>("call", { service, operation, input }, signal);
  return answer.output;
}

export interface CallOptions {
  enabled?: boolean;
  /** Milliseconds between refreshes while the page is visible; `false` asks once. */
  refresh?: number | false;
}

/** The query key of a call; invalidating `[service, operation]` refreshes it with every input. */
export function callKey(service: Service, operation: string, input?: Input): QueryKey {
  return input === undefined ? [service, operation] : [service, operation, input];
}

export function useCall<T>(service: Service, operation: string, input: Input = {}, options: CallOptions = {}) {
  return useQuery({
    queryKey: callKey(service, operation, input),
    queryFn: ({ signal }) => call<T>(service, operation, input, signal),
    enabled: options.enabled ?? true,
    refetchInterval: options.refresh ?? false,
  });
}

export interface PageShape<Output, Item> {
  items: (output: Output) => Item[] | undefined;
  /** The input member that takes the token and the output member that gives it; both `nextToken` unless told. */
  tokenIn?: string;
  tokenOut?: string;
}

/** Keyset paging: each page carries the token of the next. `items` grows as `fetchNextPage` is called. */
export function usePages<Output extends object, Item>(
  service: Service,
  operation: string,
  input: Input,
  shape: PageShape<Output, Item>,
  options: CallOptions = {},
) {
  const tokenIn = shape.tokenIn ?? "nextToken";
  const tokenOut = shape.tokenOut ?? "nextToken";
  const query = useInfiniteQuery({
    queryKey: [...callKey(service, operation, input), "pages"],
    queryFn: ({ pageParam, signal }) =>
      call<Output>(service, operation, pageParam ? { ...input, [tokenIn]: pageParam } : input, signal),
    initialPageParam: "",
    getNextPageParam: (last: Output) => {
      const token = (last as Record<string, unknown>)[tokenOut];
      return typeof token === "string" && token !== "" ? token : undefined;
    },
    enabled: options.enabled ?? true,
    refetchInterval: options.refresh ?? false,
  });
  return { ...query, items: query.data?.pages.flatMap((page) => shape.items(page) ?? []) ?? [] };
}

export interface ActionOptions<Variables, Result> {
  run: (variables: Variables) => Promise<Result>;
  /** What the toast says when it is done; nothing is shown without it. */
  done?: (result: Result, variables: Variables) => string;
  /** Query keys (or their beginnings) that are stale afterwards. */
  refresh?: QueryKey[];
  onDone?: (result: Result, variables: Variables) => void;
  /** Set when the form shows the failure itself. */
  quiet?: boolean;
}

/** A change: a toast when it worked, a toast that stays when it did not. */
export function useAction<Variables = void, Result = unknown>(options: ActionOptions<Variables, Result>) {
  const queries = useQueryClient();
  return useMutation({
    mutationFn: options.run,
    onSuccess: async (result, variables) => {
      if (options.done) notifications.show({ color: "grass", message: options.done(result, variables) });
      options.onDone?.(result, variables);
      await Promise.all((options.refresh ?? []).map((queryKey) => queries.invalidateQueries({ queryKey })));
    },
    onError: (error) => {
      if (!options.quiet) showError(error);
    },
  });
}

export function showError(error: unknown): void {
  notifications.show({
    color: "red",
    title: error instanceof ApiError ? error.code : "Something went wrong",
    message: error instanceof Error ? error.message : String(error),
    autoClose: 12_000,
  });
}
