// What the tests of models, designer and live view share: a console that is signed in, and calls made from its page.
import { enrol, launch, openContext, PASSWORD, REAL, signIn, startServer } from "./browser.mjs";

/** A signed-in page of the scripted server, or of the real one when MARRAM_CONSOLE_URL (and MARRAM_CONSOLE_SECRET after the first run) are given. */
export async function openConsole(options = {}) {
  const { plant } = REAL ? { plant: () => ({}) } : await import("../mock/graph/plant.mjs");
  const scripted = plant();
  const server = REAL
    ? { url: REAL.replace(/#.*/, ""), welcome: REAL, close: async () => {} }
    : await startServer({ things: 500, ...scripted });
  const browser = await launch();
  const { context, faults } = await openContext(browser, new URL(server.url).origin, options);
  const page = await context.newPage();
  page.setDefaultTimeout(REAL ? 20_000 : 8_000);
  const secret = process.env.MARRAM_CONSOLE_SECRET;
  if (secret) {
    await page.goto(server.url);
    await signIn(page, { user: "admin", password: PASSWORD, secret });
  } else {
    const made = await enrol(page, server.welcome);
    if (REAL) console.log(`MARRAM_CONSOLE_SECRET=${made}`);
  }
  const close = async () => {
    await browser.close();
    await server.close();
  };
  return { page, context, faults, close, graph: scripted.graph ?? null, region: "us-east-1" };
}

/** An operation called from the page, with its session. */
export function call(page, service, operation, input) {
  return page.evaluate(
    async ([name, action, body]) => {
      const session = await (await fetch("/console/api/session")).json();
      const response = await fetch("/console/api/call", {
        method: "POST",
        headers: { "content-type": "application/json", "x-marram-csrf": session.csrf },
        body: JSON.stringify({ service: name, operation: action, input: body }),
      });
      return response.json();
    },
    [service, operation, input],
  );
}

/** A question to the language service, asked from the page. */
export function ask(page, verb, input) {
  return page.evaluate(
    async ([route, body]) => {
      const session = await (await fetch("/console/api/session")).json();
      const response = await fetch(`/console/api/tdm/${route}`, {
        method: "POST",
        headers: { "content-type": "application/json", "x-marram-csrf": session.csrf },
        body: JSON.stringify(body),
      });
      return response.json();
    },
    [verb, input],
  );
}

/** The home of the account's own entities. */
export async function namespace(page) {
  const session = await page.evaluate(async () => (await fetch("/console/api/session")).json());
  return `urn:tdm:${session.region}/${session.account}/default`;
}

/** Chooses an option of a select by its label. */
export async function choose(page, label, option) {
  await page.getByRole("combobox", { name: label }).click();
  await page.getByRole("option", { name: option }).click();
}

/** Opens a flow in the designer and waits until it is drawn. */
export async function openFlow(page, urn, draft = false) {
  const search = new URLSearchParams({ flow: urn, ...(draft && { draft: "new" }) });
  await page.goto(new URL(`/console/flows/design?${search}`, page.url()).href);
  await page.getByTestId("canvas").waitFor();
}

export const step = (page, name) => page.locator(`.react-flow__node[data-id="${name}"]`);
