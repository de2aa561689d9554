// Pages and buttons show only what a person's policies allow; what is not allowed is not even asked for.
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { launch, openContext, REAL, settled, shoot, signIn, startServer, visit } from "./browser.mjs";

describe("rights", { skip: REAL && "against the scripted server only" }, () => {
  let server, browser;
  before(async () => {
    server = await startServer({ things: 100 });
    browser = await launch();
  });
  after(async () => {
    await browser.close();
    await server.close();
  });
  const as = async (person) => {
    server.requests.length = 0;
    const { context, faults } = await openContext(browser, new URL(server.url).origin);
    const page = await context.newPage();
    await page.goto(server.url);
    await signIn(page, person);
    await settled(page);
    return { page, faults, context };
  };

  it("a person without rights sees neither pages nor data", async () => {
    const { page, faults, context } = await as(server.sessions.nobody);
    const links = await page.getByRole("navigation", { name: "Pages" }).getByRole("link").allTextContents();
    assert.deepEqual(links, ["Home"]);
    await page.getByText("Your user has no rights yet").waitFor();
    await shoot(page, "home-no-rights-1280");
    for (const path of [
      "/cores",
      "/things",
      "/deployment?id=x",
      "/audit",
      "/access",
      "/logs",
      "/mqtt",
      "/new-deployment",
    ]) {
      await visit(page, path);
      await page.getByText("Your policies do not allow this page").waitFor();
    }
    assert.deepEqual(server.requests, [], "no operation was tried");
    assert.deepEqual(faults, []);
    await context.close();
  });

  it("a reader sees data and no button that changes it", async () => {
    const { page, faults, context } = await as(server.sessions.readOnlyPerson);
    const links = await page.getByRole("navigation", { name: "Pages" }).getByRole("link").allTextContents();
    for (const hidden of ["Audit log", "MQTT test client", "Thing groups", "Certificates", "Who may do what", "Logs"]) {
      assert.ok(!links.includes(hidden), `${hidden} is hidden`);
    }
    await visit(page, "/cores");
    await page.getByRole("link", { name: "gateway-hall-1" }).waitFor();
    assert.equal(await page.getByRole("link", { name: "Add a core" }).count(), 0);
    await visit(page, "/core?name=gateway-hall-1&tab=clients");
    await page.getByRole("link", { name: "press-000000" }).waitFor();
    assert.equal(await page.getByRole("button", { name: /Forget|Associate|Remove/ }).count(), 0);
    await visit(page, "/deployment?id=00000002-1c52-4a7e-9f2e-3d1f0a6b7c8d");
    assert.equal(await page.getByRole("button", { name: "Cancel deployment" }).count(), 0);
    assert.equal(await page.getByRole("link", { name: "Revise" }).count(), 0);
    await visit(page, "/thing?name=press-000000");
    assert.equal(await page.getByRole("button", { name: /Delete|Edit/ }).count(), 0);
    assert.equal(await page.getByRole("tab", { name: "Shadows" }).count(), 0);
    assert.deepEqual(faults, []);
    await context.close();
  });
});
