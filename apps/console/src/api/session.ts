// Who is signed in: the session query and the calls that change it.
import { type QueryClient, useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { createContext, useContext, useEffect } from "react";
import { getJson, postJson, setCsrf, setSessionDoubtHandler } from "./client.ts";
import { makePasskey, type PasskeyParty, passkeysWorkHere, provePasskey } from "./passkey.ts";

export interface SignedIn {
  state: "signed-in";
  csrf: string;
  account: string;
  accountName: string;
  user: string;
  arn: string;
  region: string;
  /** Epoch seconds. */
  expires: number;
  endpoints: { api: string; mqtt: string; device: string };
  passkeys: PasskeyParty;
  /** The person's ways in: whether there is a password, how many passkeys work here. */
  methods: { password: boolean; passkeys: number };
}

export interface Enrolling {
  state: "enrolling";
  csrf: string;
  user: string;
  /** The TOTP secret, base32. */
  secret: string;
  /** `otpauth://totp/...` */
  uri: string;
  passkeys: PasskeyParty;
}

export interface SignedOut {
  state: "signed-out";
  csrf: string;
  firstRun: boolean;
  passkeys: PasskeyParty;
}

export type Session = SignedIn | Enrolling | SignedOut;

const KEY = ["session"] as const;
/** A session that ends unseen is noticed at most this late. */
const RECHECK_MILLIS = 60_000;

async function load(signal?: AbortSignal): Promise<Session> {
  const session = await getJson<Session>("session", signal);
  setCsrf(session.csrf);
  return session;
}

export function useSessionQuery() {
  const queries = useQueryClient();
  useEffect(() => {
    setSessionDoubtHandler(() => void queries.invalidateQueries({ queryKey: KEY }));
  }, [queries]);
  return useQuery({
    queryKey: KEY,
    queryFn: ({ signal }) => load(signal),
    staleTime: RECHECK_MILLIS,
    refetchInterval: RECHECK_MILLIS,
    refetchOnWindowFocus: true,
    retry: 1,
  });
}

export const SessionContext = createContext<SignedIn | null>(null);

/** The signed-in person. Only below the signed-in part of the tree. */
export function useSession(): SignedIn {
  const session = useContext(SessionContext);
  if (session === null) throw new Error("useSession is used outside the signed-in part of the console");
  return session;
}

async function adopt(queries: QueryClient, answer: Session): Promise<Session> {
  setCsrf(answer.csrf);
  queries.setQueryData(KEY, answer);
  return answer;
}

/** Every state change answers the new session; an answer without one is followed by asking for it. */
async function change(queries: QueryClient, path: string, body: unknown): Promise<Session> {
  const answer = await postJson<Partial<Session>>(path, body);
  return adopt(queries, answer.state && answer.csrf ? (answer as Session) : await load());
}

export function useOpenLink() {
  const queries = useQueryClient();
  return useMutation({ mutationFn: (token: string) => change(queries, "sign-in/link", { token }) });
}

export function useEnrol() {
  const queries = useQueryClient();
  return useMutation({
    mutationFn: (input: { password: string; code: string }) => change(queries, "enrol", input),
  });
}

export function useSignIn() {
  const queries = useQueryClient();
  return useMutation({
    mutationFn: (input: { account?: string; user: string; password: string; code: string }) =>
      change(queries, "sign-in/password", input),
  });
}

export function useSignInWithPasskey() {
  const queries = useQueryClient();
  return useMutation({
    mutationFn: async () => change(queries, "sign-in/passkey", await provePasskey("sign-in")),
  });
}

export function useEnrolPasskey() {
  const queries = useQueryClient();
  return useMutation({
    mutationFn: async (name: string) => change(queries, "enrol/passkey", await makePasskey("enrol", name)),
  });
}

/** Whether this browser can use passkeys at this address. */
export function usePasskeysHere(): boolean {
  return passkeysWorkHere(useSessionQuery().data?.passkeys);
}

export function useSignOut() {
  const queries = useQueryClient();
  return useMutation({
    mutationFn: async () => {
      await postJson("sign-out", {});
      // A full load forgets everything that was read on behalf of the person who left.
      queries.clear();
      window.location.assign("/console/");
    },
  });
}

/** The session goes on under another cookie, so what follows needs the CSRF token of that one. */
export async function reauthenticate(input: { password: string; code: string } | "passkey"): Promise<unknown> {
  const session = await (input === "passkey"
    ? postJson<Partial<SignedIn>>("reauthenticate/passkey", await provePasskey("again"))
    : postJson<Partial<SignedIn>>("reauthenticate", input));
  if (session.csrf) setCsrf(session.csrf);
  return session;
}
