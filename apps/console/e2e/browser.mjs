// The browser of the tests: chromium that talks to nobody but the server under test, and the first run up to the home page.
import assert from "node:assert/strict";
import { mkdirSync, readFileSync } from "node:fs";
import { chromium } from "playwright-core";
import { startMock } from "../mock/server.mjs";
import { totp } from "../mock/session.mjs";

const FLAGS = [
  "--no-sandbox",
  "--disable-background-networking",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-component-update",
  "--disable-sync",
];
export const SHOTS = new URL("../../../build/console-screenshots/", import.meta.url).pathname;
const AXE = readFileSync(new URL("../node_modules/axe-core/axe.min.js", import.meta.url), "utf8");
/** What must appear does so on a slow machine with few processors that are busy as well: no test judges by the clock. */
const WAIT_MILLIS = 60_000;
/** A browser that starts, and a page that is loaded. */
const LAUNCH_MILLIS = 180_000;
export const PASSWORD = "marram holds the dune together";

/** The real server's first-run link, when the tests run against one. */
export const REAL = process.env.MARRAM_CONSOLE_URL;

export function launch(flags = []) {
  const executablePath = process.env.CHROMIUM ?? "/usr/bin/chromium";
  return chromium.launch({ executablePath, args: [...FLAGS, ...flags], timeout: LAUNCH_MILLIS });
}

export async function startServer(options) {
  return startMock(options);
}

/** A fresh browser profile that collects what must not happen: console errors, policy violations, requests elsewhere. */
export async function openContext(browser, origin, options = {}) {
  const context = await browser.newContext({
    ignoreHTTPSErrors: true,
    viewport: { width: 1280, height: 800 },
    colorScheme: "light",
    reducedMotion: "reduce",
    ...options,
  });
  context.setDefaultTimeout(WAIT_MILLIS);
  context.setDefaultNavigationTimeout(LAUNCH_MILLIS);
  const faults = [];
  await context.route("**/*", (route) => {
    const url = new URL(route.request().url());
    if (url.origin === origin) return route.continue();
    faults.push(`request to ${url.origin}`);
    return route.abort();
  });
  await context.addInitScript(() => {
    document.addEventListener("securitypolicyviolation", (event) =>
      console.error(
        `CSP ${event.violatedDirective} ${event.blockedURI} ${event.sample} ${event.sourceFile}:${event.lineNumber}`,
      ),
    );
  });
  context.on("console", (message) => {
    // A refused call is logged by the browser itself; whether it is right is for the test to say.
    if (message.type() === "error" && !/Failed to load resource/.test(message.text())) faults.push(message.text());
  });
  context.on("weberror", (error) => faults.push(String(error.error())));
  return { context, faults };
}

/** Opens the first-run link, sets password and second factor; answers who it was and the secret. */
export async function enrol(page, welcome) {
  await page.goto(welcome);
  const user = (await page.getByRole("heading", { name: /^Welcome, / }).textContent()).replace("Welcome, ", "");
  assert.equal(new URL(page.url()).hash, "", "the token leaves the address");
  const secret = (await page.locator("code").first().textContent()).replace(/\s/g, "");
  await page.getByLabel("Password", { exact: true }).fill(PASSWORD);
  await page.getByLabel("Password again").fill(PASSWORD);
  await page.getByLabel("The code it shows now").fill(totp(secret));
  await page.getByRole("button", { name: "Finish and sign in" }).click();
  await page.getByRole("heading", { level: 1, name: "Home" }).waitFor();
  return { user, secret };
}

/** Fills the form of signing in; `user` is left out where it is fixed. */
export async function signIn(page, { user, password, secret }) {
  if (user) await page.getByLabel("User", { exact: true }).fill(user);
  await page.getByLabel("Password", { exact: true }).fill(password);
  await page.getByLabel("Code of your authenticator").fill(totp(secret));
  await page.getByRole("button", { name: "Sign in", exact: true }).click();
  await page.getByRole("navigation", { name: "Pages" }).waitFor();
}

/** Goes to a page without a full load and waits until it has nothing more to load. */
export async function visit(page, path) {
  await page.goto(new URL(`/console${path}`, page.url()).href);
  await settled(page);
}

export async function settled(page) {
  await page.locator("h1").first().waitFor();
  await page.waitForFunction(() => document.querySelectorAll('[aria-busy="true"], .mantine-Loader-root').length === 0);
}

/** Light or dark as the system would ask for it; returns when the page is painted in it. */
export async function paint(page, colorScheme) {
  await page.emulateMedia({ colorScheme, reducedMotion: "reduce" });
  await page.waitForFunction((wanted) => document.documentElement.dataset.mantineColorScheme === wanted, colorScheme);
  await page.evaluate(async () => {
    for (let frame = 0; frame < 3; frame += 1) await new Promise((next) => requestAnimationFrame(next));
    await Promise.all(document.getAnimations().map((one) => one.finished.catch(() => {})));
  });
}

/** Serious and critical findings of axe on the page as it stands. */
export async function axeFindings(page) {
  const result = await page.evaluate(
    `(() => { ${AXE}; return axe.run(document, { resultTypes: ["violations"] }); })()`,
  );
  return result.violations
    .filter((one) => one.impact === "serious" || one.impact === "critical")
    .map(
      (one) =>
        `${one.id}: ${one.help}: ${one.nodes
          .slice(0, 4)
          .map((node) => `${node.html.slice(0, 160)} ${(node.any[0]?.message ?? "").slice(0, 160)}`)
          .join(" | ")}`,
    );
}

export async function shoot(page, name, options = {}) {
  mkdirSync(SHOTS, { recursive: true });
  await page.screenshot({ path: `${SHOTS}${name}.png`, fullPage: true, ...options });
}
