// What the tests of models, designer and live view share: a console that is signed in, and calls made from its page.
import { enrol, launch, openContext, startServer } from "./browser.mjs";
import { given, program, startMarram } from "./real.mjs";

/** Which servers a test runs against: the scripted one, and Marram itself when there is one. */
export const SERVERS = ["scripted", ...(given || program ? ["Marram"] : [])];
const DEMO_MILLIS = 240_000;

/** A signed-in page, of the scripted server or of Marram with its demo. */
export async function openConsole({ server: kind = "scripted", core = false, ...options } = {}) {
  const real = kind === "Marram";
  const { plant } = await import("../mock/graph/plant.mjs");
  const scripted = real ? {} : plant();
  const server = real ? await startMarram({ demo: true, core }) : await startServer({ things: 500, ...scripted });
  const browser = await launch();
  const close = async () => {
    await browser.close();
    await (server.stop ?? server.close)();
  };
  try {
    const { context, faults } = await openContext(browser, new URL(server.welcome).origin, options);
    const page = await context.newPage();
    await enrol(page, server.welcome);
    if (real) await demoReady(page);
    return { page, context, faults, close, graph: scripted.graph ?? null };
  } catch (error) {
    await close();
    throw error;
  }
}

/** The demo makes its things, roles and deployments after the server is up. */
async function demoReady(page) {
  const deadline = Date.now() + DEMO_MILLIS;
  for (;;) {
    const answer = await call(page, "iotthingsgraph", "SearchSystemInstances", {});
    const summaries = answer.output?.summaries ?? [];
    if (summaries.length > 1 && summaries.every((one) => one.status === "DEPLOYED_IN_TARGET")) return;
    if (Date.now() > deadline) throw new Error(`the demo is not ready: ${JSON.stringify(answer)}`);
    await page.waitForTimeout(500);
  }
}

async function post(page, path, body) {
  return page.evaluate(
    async ([route, input]) => {
      const session = await (await fetch("/console/api/session")).json();
      const response = await fetch(`/console/api/${route}`, {
        method: "POST",
        headers: { "content-type": "application/json", "x-marram-csrf": session.csrf },
        body: JSON.stringify(input),
      });
      return response.json();
    },
    [path, body],
  );
}

/** An operation called from the page, with its session: `{output}` or `{error}`. */
export const call = (page, service, operation, input) => post(page, "call", { service, operation, input });

/** A question to the language service, asked from the page. */
export const ask = (page, verb, input) => post(page, `tdm/${verb}`, input);

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

/** Replaces the text of the designer as a paste does. */
export async function pasteText(page, source) {
  await page.getByText("Text", { exact: true }).click();
  await page.getByRole("textbox", { name: "TDM text of the flow" }).click();
  await page.keyboard.press("Control+a");
  await page.evaluate((value) => {
    const content = document.querySelector("[data-testid=tdm-editor]").shadowRoot.querySelector(".cm-content");
    const data = new DataTransfer();
    data.setData("text/plain", value);
    content.dispatchEvent(new ClipboardEvent("paste", { clipboardData: data, bubbles: true, cancelable: true }));
  }, source);
}

/** Waits until the service has answered what was drawn. */
export const quiet = (page) =>
  page.waitForFunction(() => document.querySelector('[role="status"][data-busy]') === null);

export const step = (page, name) => page.locator(`.react-flow__node[data-id="${name}"]`);
