// The first run: one-time link, enrolment, sign-out, sign-in, a session that ends, and the headers all of it stands on.
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { CSP } from "../mock/static.mjs";
import { enrol, launch, openContext, PASSWORD, REAL, settled, shoot, signIn, startServer } from "./browser.mjs";

describe("first run", { skip: REAL && "against the scripted server only" }, () => {
  let server, browser, context, faults, page, secret;
  before(async () => {
    server = await startServer({ things: 100 });
    browser = await launch();
    ({ context, faults } = await openContext(browser, new URL(server.url).origin));
    page = await context.newPage();
  });
  after(async () => {
    await browser.close();
    await server.close();
  });

  it("tells a stranger where the link is, and serves the pages under the documented policy", async () => {
    const response = await page.goto(server.url);
    assert.equal(response.headers()["content-security-policy"], CSP);
    await page.getByText("Nobody has signed in yet").waitFor();
    await shoot(page, "sign-in-1280");
    assert.equal(await page.getByRole("navigation", { name: "Pages" }).count(), 0);
  });

  it("enrols with the link, password and second factor", async () => {
    await page.goto("about:blank");
    ({ secret } = await enrol(page, server.welcome));
  });

  it("refuses the link a second time", async () => {
    const other = await openContext(browser, new URL(server.url).origin);
    const stranger = await other.context.newPage();
    await stranger.goto(server.welcome);
    await stranger.getByText("The link was used, is too old").waitFor();
    await shoot(stranger, "welcome-used-1280");
    await other.context.close();
  });

  it("signs out and in again, and says nothing of what was wrong", async () => {
    await page.getByTitle("Account menu").click();
    await page.getByRole("menuitem", { name: "Sign out" }).click();
    await page.getByRole("heading", { name: "Sign in" }).waitFor();
    await page.getByLabel("User", { exact: true }).fill("admin");
    await page.getByLabel("Password", { exact: true }).fill("not the password");
    await page.getByLabel("Code of your authenticator").fill("123456");
    await page.getByRole("button", { name: "Sign in", exact: true }).click();
    await page.getByText("User, password or code is wrong").waitFor();
    assert.equal(await page.getByLabel("Code of your authenticator").inputValue(), "");
    await signIn(page, { user: "admin", password: PASSWORD, secret });
  });

  it("keeps the page and what was typed when the session ends", async () => {
    await page.getByRole("link", { name: "MQTT test client" }).click();
    await page.getByLabel("Topic").fill("kept/across/sessions");
    server.sessions.expireAll();
    await page.getByRole("button", { name: "Publish" }).click();
    const dialog = page.getByRole("dialog", { name: "Your session has ended" });
    await dialog.waitFor();
    await shoot(page, "session-ended-1280");
    assert.equal(await dialog.getByLabel("User", { exact: true }).inputValue(), "admin");
    await signIn(page, { password: PASSWORD, secret });
    await dialog.waitFor({ state: "detached" });
    assert.equal(await page.getByLabel("Topic").inputValue(), "kept/across/sessions");
    await settled(page);
  });

  it("left no error behind", () => assert.deepEqual(faults, []));
});
