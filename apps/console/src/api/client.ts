// The one door to the server: JSON requests below /console/api, the CSRF header, errors as `ApiError`.

/** An error the server answered (`code` is the modelled AWS code) or that kept us from reaching it (`status` 0). */
export class ApiError extends Error {
  readonly code: string;
  readonly status: number;
  readonly field: string | undefined;

  constructor(status: number, code: string, message: string, field?: string) {
    super(message);
    this.name = "ApiError";
    this.status = status;
    this.code = code;
    this.field = field;
  }
}

/** Codes that mean "not allowed", as opposed to "not signed in". */
const DENIED_CODES = new Set(["AccessDeniedException", "AccessDenied", "UnauthorizedException", "ForbiddenException"]);
/** Codes that say something about the call, not about the session. */
const SESSION_STANDS = new Set([...DENIED_CODES, "ReauthenticationRequiredException"]);

export function isDenied(error: unknown): boolean {
  return error instanceof ApiError && error.status === 403 && DENIED_CODES.has(error.code);
}

export function isNotFound(error: unknown): boolean {
  return error instanceof ApiError && (error.status === 404 || error.code === "NoSuchEntity");
}

const BASE = "/console/api/";
let csrf = "";
let onSessionDoubt: () => void = () => {};

/** Remembers the CSRF token that the last answer about the session carried. */
export function setCsrf(token: string): void {
  csrf = token;
}

/** Called when an answer suggests that the session is over, so that its owner can ask the server. */
export function setSessionDoubtHandler(handler: () => void): void {
  onSessionDoubt = handler;
}

/** Asks the person for password and code; false when they would rather not. */
let askAgain: () => Promise<boolean> = async () => false;

export function setReauthentication(ask: () => Promise<boolean>): void {
  askAgain = ask;
}

/** A call that destroys something wants a fresh proof of who asks; with it the call is made once more. */
async function send<T>(path: string, init: () => RequestInit): Promise<T> {
  try {
    return await sendOnce<T>(path, init());
  } catch (error) {
    const stale = error instanceof ApiError && error.code === "ReauthenticationRequiredException";
    if (!stale || !(await askAgain())) throw error;
    return sendOnce<T>(path, init());
  }
}

async function sendOnce<T>(path: string, init: RequestInit): Promise<T> {
  let response: Response;
  try {
    response = await fetch(BASE + path, { credentials: "same-origin", cache: "no-store", ...init });
  } catch (cause) {
    if (cause instanceof DOMException && cause.name === "AbortError") throw cause;
    throw new ApiError(0, "Unreachable", "Marram does not answer. Is it running, and is this computer connected?");
  }
  const text = await response.text();
  let body: unknown;
  try {
    body = text === "" ? {} : JSON.parse(text);
  } catch {
    throw new ApiError(response.status, "UnreadableAnswer", `the server answered ${response.status} without JSON`);
  }
  if (response.ok) return body as T;
  const error = (body as { error?: { code?: string; message?: string; field?: string } }).error ?? {};
  const failure = new ApiError(
    response.status,
    error.code ?? `Http${response.status}`,
    error.message ?? `the server answered ${response.status}`,
    error.field,
  );
  if (response.status === 401 || (response.status === 403 && !SESSION_STANDS.has(failure.code))) onSessionDoubt();
  throw failure;
}

export function getJson<T>(path: string, signal?: AbortSignal): Promise<T> {
  return send<T>(path, () => ({ method: "GET", signal: signal ?? null }));
}

export function postJson<T>(path: string, body: unknown, signal?: AbortSignal): Promise<T> {
  return send<T>(path, () => ({
    method: "POST",
    headers: { "content-type": "application/json", "x-marram-csrf": csrf },
    body: JSON.stringify(body),
    signal: signal ?? null,
  }));
}
