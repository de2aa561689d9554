// What a tenant puts into a bucket and a person who is signed in opens: objects have the console's origin and none of its
// powers (SEC-97).
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { enrol, launch, openContext } from "./browser.mjs";
import { presign } from "./presign.mjs";
import { given, program, startMarram } from "./real.mjs";

/** What a script of somebody else would do first: take the token, make a user of its own. */
const ATTACK = `(async () => {
  globalThis.ran = true;
  const session = await fetch("/console/api/session");
  const { csrf } = await session.json();
  const told = await fetch("/console/api/call", {
    method: "POST",
    headers: { "content-type": "application/json", "x-marram-csrf": csrf },
    body: JSON.stringify({ service: "iam", operation: "CreateUser", input: { UserName: "backdoor" } }),
  });
  document.title = "told " + told.status;
})().catch((error) => { document.title = "nothing " + error.name; });`;
const WORKER = `onfetch = (event) => event.respondWith(new Response("OWNED"));`;
const OBJECTS = {
  "report.html": ["text/html", `<title>report</title><script>${ATTACK}</script>`],
  "picture.svg": ["image/svg+xml", `<svg xmlns="http://www.w3.org/2000/svg"><script>${ATTACK}</script></svg>`],
  "sw.js": ["text/javascript", WORKER],
  "run.js": ["text/javascript", ATTACK],
  "style.css": ["text/css", "body { color: rgb(1, 2, 3) }"],
};
const SKIP = (given || !program) && "needs MARRAM_BIN";

describe("objects in a browser that is signed in", { skip: SKIP }, () => {
  let marram, browser, context, page, asked;
  const link = (name, parameters) => presign(marram.environment, "GET", `/tenant/${name}`, parameters);
  /** As ATTACK does, from a page of the console: what a person may do. */
  const users = () =>
    page.evaluate(async () => {
      const { csrf } = await (await fetch("/console/api/session")).json();
      const told = await fetch("/console/api/call", {
        method: "POST",
        headers: { "content-type": "application/json", "x-marram-csrf": csrf },
        body: JSON.stringify({ service: "iam", operation: "ListUsers", input: {} }),
      });
      return (await told.json()).output.Users.map((user) => user.UserName);
    });

  before(async () => {
    marram = await startMarram();
    const { origin } = new URL(marram.welcome);
    browser = await launch(["--ignore-certificate-errors"]);
    ({ context } = await openContext(browser, origin));
    page = await context.newPage();
    await enrol(page, marram.welcome);
    const put = async (path, type, body) => {
      const headers = type ? { "content-type": type } : {};
      const told = await context.request.put(presign(marram.environment, "PUT", path), { headers, data: body });
      assert.equal(told.status(), 200, await told.text());
    };
    await put("/tenant");
    for (const [name, [type, body]] of Object.entries(OBJECTS)) await put(`/tenant/${name}`, type, body);
  });
  after(async () => {
    await browser?.close();
    await marram?.stop();
  });

  /** A tab of the same person that notes which calls of the console it makes. */
  async function tab() {
    const other = await context.newPage();
    asked = [];
    other.on("request", (request) => {
      if (request.url().includes("/console/api/")) asked.push(request.url());
    });
    return other;
  }

  it("saves what is opened, and runs nothing of it", async () => {
    const other = await tab();
    for (const [name, parameters] of [
      ["report.html"],
      ["picture.svg"],
      ["style.css", { "response-content-type": "text/html" }],
      ["report.html", { "response-content-disposition": "inline" }],
    ]) {
      const saved = other.waitForEvent("download");
      await assert.rejects(other.goto(link(name, parameters)), /Download is starting/, name);
      await (await saved).cancel();
    }
    assert.deepEqual(asked, []);
    await other.close();
  });

  it("runs nothing even where a page is shown", async () => {
    const other = await tab();
    await other.route("**/tenant/**", async (route) => {
      const response = await route.fetch();
      const { "content-disposition": _, ...headers } = response.headers();
      await route.fulfill({ response, headers });
    });
    for (const name of ["report.html", "picture.svg"]) {
      const response = await other.goto(link(name));
      assert.equal(response.status(), 200);
      assert.equal(await other.evaluate(() => globalThis.origin), "null", "an origin of its own");
      assert.equal(await other.evaluate(() => globalThis.ran), undefined, name);
    }
    assert.deepEqual(asked, []);
    await other.close();
  });

  describe("a page of this origin that is not the console's", () => {
    let other;
    before(async () => {
      other = await tab();
      // There is none; if there ever were, what is behind it holds too.
      await other.route("**/elsewhere", (route) =>
        route.fulfill({ contentType: "text/html", body: "<title>elsewhere</title><body></body>" }),
      );
      await other.goto(new URL("/elsewhere", marram.welcome).href);
    });

    it("gets no answer of the console", async () => {
      await other.evaluate(ATTACK);
      assert.match(await other.title(), /^(told 403|nothing )/);
      const told = await other.evaluate(async () => (await fetch("/console/api/session")).status);
      assert.equal(told, 403);
    });

    it("installs no service worker from an object, nor from the console's paths", async () => {
      const install = (url) =>
        other.evaluate(
          (script) =>
            navigator.serviceWorker.register(script, { scope: "/console/" }).then(
              () => "installed",
              (error) => String(error),
            ),
          url,
        );
      const scripts = [link("sw.js"), presign(marram.environment, "GET", "/console/sw.js"), "/console/sw.js"];
      for (const script of scripts) assert.match(await install(script), /bad HTTP response code \(403\)/, script);
      await page.goto(new URL("/console/", marram.welcome).href);
      assert.notEqual(await page.textContent("body"), "OWNED");
    });

    it("embeds no object as script, style, frame or plug-in", async () => {
      const outcome = (element, attribute, url) =>
        other.evaluate(
          ([element, attribute, url]) =>
            new Promise((done) => {
              const made = document.createElement(element);
              if (element === "link") made.rel = "stylesheet";
              made.onload = () => done("loaded");
              made.onerror = () => done("refused");
              made[attribute] = url;
              document.body.append(made);
            }),
          [element, attribute, url],
        );
      await other.evaluate(() => delete globalThis.ran);
      assert.equal(await outcome("script", "src", link("run.js")), "refused");
      assert.equal(await outcome("link", "href", link("style.css")), "refused");
      assert.equal(await outcome("object", "data", link("report.html")), "refused");
      // A frame tells of no failure: what stands in it is the refusal, or the browser's own words.
      const framed = other.waitForResponse((response) => response.url().includes("framed"));
      const done = outcome("iframe", "src", link("report.html", { "response-content-language": "framed" }));
      assert.equal((await framed).status(), 403);
      await done;
      assert.equal(await other.evaluate(() => globalThis.ran), undefined);
    });
  });

  it("leaves the account as it was", async () => {
    await page.goto(new URL("/console/", marram.welcome).href);
    const names = await users();
    assert.ok(names.length > 0 && !names.includes("backdoor"), names.join());
  });
});
