// A server that speaks the console's contract from memory: sessions, calls, streams, static files under the strict CSP.
import { createServer } from "node:http";
import { audit, can, series, whoCan } from "./desk.mjs";
import { serveStream } from "./live.mjs";
import { operations } from "./operations/all.mjs";
import { allows, Sessions } from "./session.mjs";
import { CSP, serveStatic } from "./static.mjs";
import { makeWorld } from "./world.mjs";

const MAX_BODY = 2_000_000;

/** A failure with the modelled code. */
export class Fault extends Error {
  constructor(status, code, message, field) {
    super(message);
    Object.assign(this, { status, code, field });
  }
}

export const denied = (action) => new Fault(403, "AccessDeniedException", `not authorized to perform ${action}`);

/**
 * Starts listening on loopback. `extra` holds further POST routes below /console/api: `{"tdm/check": (input, person) => answer}`,
 * `more` further operations, which win, `executions` the stream of that name. See graph/plant.mjs.
 */
export async function startMock({ port = 0, things = 100_000, extra = {}, more = {}, executions } = {}) {
  const world = makeWorld({ things });
  const sessions = new Sessions(world);
  const streams = new Set();
  const mock = { world, sessions, held: null, fail: new Map(), requests: [] };

  const posts = {
    "sign-in/link": (input, seat) => sessions.openLink(input, seat),
    enrol: (input, seat) => sessions.enrol(input, seat),
    "sign-in/password": (input, seat) => sessions.signIn(input, seat),
    "passkey/challenge": (input, seat) => sessions.challenge(input, seat),
    "sign-in/passkey": (input, seat) => sessions.signInWithPasskey(input, seat),
    "enrol/passkey": (input, seat) => sessions.enrolPasskey(input, seat),
    "sign-out": (_, seat) => sessions.signOut(seat),
  };
  /** A verb that wants a fresh proof. */
  const fresh = (run) => (input, person, seat) => {
    if (seat.stale) throw new Fault(403, "ReauthenticationRequiredException", "Prove again that it is you to do this.");
    return run(input, person, seat);
  };
  const signedInPosts = {
    reauthenticate: (input, person, seat) => sessions.reauthenticate(input, person, seat),
    "reauthenticate/passkey": (input, person, seat) => sessions.reauthenticateWithPasskey(input, person, seat),
    "invitations/list": () => sessions.listInvitations(),
    "invitations/make": fresh((input, person) => sessions.invite(input, person, mock.url)),
    "invitations/withdraw": (input, person) => sessions.withdraw(input, person),
    "my/methods": (_, person) => sessions.passkeys.list(person),
    "my/passkey-add": (input, person, seat) => {
      sessions.passkeys.register(input, "add", seat, person);
      return sessions.passkeys.list(person);
    },
    "my/passkey-rename": (input, person) => sessions.passkeys.rename(input, person),
    "my/passkey-remove": fresh((input, person) => sessions.passkeys.remove(input, person)),
    "my/password-begin": fresh((input, person) => sessions.beginPassword(input, person)),
    "my/password-set": (input, person) => sessions.setPassword(input, person),
    "my/password-remove": fresh((input, person) => sessions.removePassword(input, person)),
    call: async (input, person) => {
      await mock.held;
      return callOperation(input, person);
    },
    may: ({ checks }, person) => ({ allowed: checks.map((check) => allows(person, check.action, check.resource)) }),
    "who-can": (input, person) => whoCan(world, input, person),
    can: (input, person) => can(world, input, person),
    audit: (input, person) => audit(world, input, person),
    series: (input, person) => series(world, input, person),
    ...extra,
  };

  function callOperation({ service, operation, input }, person) {
    const name = `${service}.${operation}`;
    mock.requests.push(name);
    const planned = mock.fail.get(name);
    if (planned) throw planned;
    const entry = more[name] ?? operations[name];
    if (!entry) throw new Fault(400, "UnsupportedOperationException", `${name} is not scripted`);
    const [action, run] = entry;
    if (!allows(person, action, "*")) throw denied(action);
    return { output: run(input ?? {}, { world, person, sessions, people: sessions.people }) };
  }

  async function answer(request, response) {
    const url = new URL(request.url, "http://mock");
    if (url.pathname === "/") return response.writeHead(302, { location: "/console/" }).end();
    if (!url.pathname.startsWith("/console/api/")) return serveStatic(url.pathname, request, response);
    const route = url.pathname.slice("/console/api/".length);
    const seat = sessions.seat(request, response);
    if (request.method === "GET" && route === "session") return json(response, 200, sessions.describe(seat));
    if (request.method === "GET" && route.startsWith("live/")) {
      if (!seat.person) throw new Fault(401, "ExpiredTokenException", "the session has ended");
      return serveStream(world, route.slice(5), url.searchParams, seat.person, response, streams, executions);
    }
    if (request.method !== "POST") throw new Fault(405, "MethodNotAllowed", "POST only");
    if (!/^application\/json/.test(request.headers["content-type"] ?? ""))
      throw new Fault(415, "UnsupportedMediaType", "content-type must be application/json");
    const input = JSON.parse((await body(request)) || "{}");
    if (request.headers["x-marram-csrf"] !== seat.csrf)
      throw new Fault(403, "InvalidCsrfToken", "the CSRF token is wrong");
    if (posts[route]) return json(response, 200, posts[route](input, seat));
    if (!seat.person) throw new Fault(401, "ExpiredTokenException", "the session has ended");
    if (!signedInPosts[route]) throw new Fault(404, "NotFound", "no such route");
    return json(response, 200, await signedInPosts[route](input, seat.person, seat));
  }

  const server = createServer((request, response) => {
    answer(request, response).catch((error) => {
      if (!(error instanceof Fault)) console.error("mock:", error);
      const fault = error instanceof Fault ? error : new Fault(500, "InternalFailure", "the scripted server failed");
      if (!response.headersSent)
        json(response, fault.status, { error: { code: fault.code, message: fault.message, field: fault.field } });
    });
  });
  await new Promise((done) => server.listen(port, "127.0.0.1", done));
  const origin = `http://localhost:${server.address().port}`;
  sessions.passkeys.at(origin);
  return Object.assign(mock, {
    url: `${origin}/console/`,
    welcome: `${origin}/console/#/welcome?token=${sessions.token}`,
    readOnly: sessions.readOnlyPerson,
    close: () => {
      for (const stream of streams) stream.end();
      server.closeAllConnections();
      return new Promise((done) => server.close(done));
    },
  });
}

function json(response, status, value) {
  response.writeHead(status, {
    "content-type": "application/json",
    "cache-control": "no-store",
    "content-security-policy": CSP,
    "x-content-type-options": "nosniff",
  });
  response.end(JSON.stringify(value));
}

async function body(request) {
  const parts = [];
  let length = 0;
  for await (const part of request) {
    length += part.length;
    if (length > MAX_BODY) throw new Fault(413, "RequestTooLarge", "the request is too large");
    parts.push(part);
  }
  return Buffer.concat(parts).toString();
}
