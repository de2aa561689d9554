// The same pages against Marram itself: first run, every page of the navigation, and work that leaves something behind.
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { CSP } from "../mock/static.mjs";
import { axeFindings, enrol, launch, openContext, PASSWORD, settled, shoot, signIn, visit } from "./browser.mjs";
import { given, program, startMarram } from "./real.mjs";

const EVIL = "<img src=x onerror=window.hit=1>";
/** Codes are good once, so the next one is waited for. */
const NEXT_CODE_MILLIS = 31_000;

describe("Marram itself", { skip: !given && !program && "needs MARRAM_CONSOLE_URL or MARRAM_BIN" }, () => {
  let marram, browser, page, faults, person;
  before(async () => {
    marram = await startMarram();
    browser = await launch();
    const opened = await openContext(browser, new URL(marram.welcome).origin);
    faults = opened.faults;
    page = await opened.context.newPage();
  });
  after(async () => {
    await browser?.close();
    await marram?.stop();
  });

  it("serves the pages under the documented policy and enrols the first person", async () => {
    const response = await page.goto(new URL("/", marram.welcome).href);
    assert.equal(response.headers()["content-security-policy"], CSP);
    await page.goto("about:blank");
    person = await enrol(page, marram.welcome);
    await settled(page);
    await shoot(page, "real-home-1280");
  });

  it("opens every page of the navigation without an error", async () => {
    const links = await page
      .getByRole("navigation", { name: "Pages" })
      .getByRole("link")
      .evaluateAll((all) => all.map((link) => link.getAttribute("href")));
    assert.ok(links.length >= 10, `${links.length} pages`);
    for (const link of links) {
      await visit(page, link.replace("/console", "") || "/");
      const alerts = await page.getByRole("alert").allTextContents();
      assert.deepEqual(alerts, [], `${link} shows an error`);
      assert.deepEqual(await axeFindings(page), [], link);
      await shoot(page, `real${link.replace("/console", "").replaceAll("/", "-")}-1280`);
    }
    assert.deepEqual(faults.splice(0), []);
  });

  it("makes a thing, its attributes and its shadow", async () => {
    await visit(page, "/things");
    await page.getByRole("button", { name: "New thing" }).click();
    await page.getByRole("dialog").getByLabel("Name").fill("console-thing");
    await page.getByRole("button", { name: "Create" }).click();
    await page.getByRole("heading", { level: 1, name: "console-thing" }).waitFor();
    await page.getByRole("button", { name: "Edit" }).click();
    await page.getByRole("button", { name: "Add" }).click();
    await page.getByLabel("Name", { exact: true }).fill("hall");
    await page.getByPlaceholder("value").fill("9");
    await page.getByRole("button", { name: "Save" }).click();
    await page.getByText("The attributes are saved.").waitFor();
    await page.getByRole("tab", { name: "Shadows" }).click();
    await page.getByRole("button", { name: "Write one" }).click();
    await page.getByRole("textbox", { name: "Desired" }).fill('{"speed": 40}');
    await page.getByRole("textbox", { name: "Reported" }).fill('{"speed": 35}');
    await page.getByRole("button", { name: "Save" }).click();
    await page.getByText("The shadow is saved.").waitFor();
    await page.getByText("differs").waitFor();
    await page.getByRole("button", { name: "Edit" }).click();
    await page.getByRole("textbox", { name: "Reported" }).fill('{"speed": 40}');
    await page.getByRole("button", { name: "Save" }).click();
    await page.getByText("in step").waitFor();
    await shoot(page, "real-shadow-1280");
  });

  it("makes a group and puts the thing into it", async () => {
    await visit(page, "/groups");
    await page.getByRole("button", { name: "New group" }).click();
    await page.getByRole("dialog").getByLabel("Name").fill("console-group");
    await page.getByRole("button", { name: "Create" }).click();
    await page.getByRole("link", { name: "console-group" }).click();
    await page.getByLabel("Thing to add").fill("console-thing");
    await page.getByRole("button", { name: "Add" }).click();
    await page.getByRole("link", { name: "console-thing" }).waitFor();
  });

  it("makes a component and deploys it to the group", async () => {
    await visit(page, "/new-component");
    await page.getByRole("button", { name: "Create version" }).click();
    await page.getByRole("heading", { level: 1, name: "com.example.Hello" }).waitFor();
    await page.getByLabel("the recipe").getByText("com.example.Hello").waitFor();
    await shoot(page, "real-component-1280");
    await page.getByRole("link", { name: "Deploy 1.0.0" }).click();
    await page.getByRole("combobox", { name: "Core or group" }).click();
    await page.getByRole("option", { name: "console-group" }).click();
    await page.getByRole("button", { name: "Deploy", exact: true }).click();
    await page.getByText("never reported as a core").waitFor();
    await shoot(page, "real-deployment-1280");
    await page.getByRole("button", { name: "Cancel deployment" }).click();
    await page.getByRole("dialog").getByRole("button", { name: "Cancel deployment" }).click();
    await page.getByText("The deployment is cancelled.").waitFor();
  });

  it("tells the service's own words when it refuses", async () => {
    await visit(page, "/new-component");
    await page.getByRole("button", { name: "Create version" }).click();
    await page.getByText("The recipe was not accepted").waitFor();
    await page.getByText("ConflictException").waitFor();
  });

  it("watches messages and publishes, and shows them as text", async () => {
    await visit(page, "/mqtt");
    await page.getByLabel("Filter").fill("console/#");
    await page.getByRole("button", { name: "Subscribe" }).click();
    await page.getByText("listening", { exact: true }).waitFor();
    await page.getByLabel("Topic").fill(`console/${EVIL}`);
    await page.getByRole("textbox", { name: "Payload" }).fill(EVIL);
    await page.getByRole("button", { name: "Publish" }).click();
    await page.getByRole("article").filter({ hasText: EVIL }).waitFor();
    assert.equal(await page.evaluate(() => window.hit), undefined);
    await shoot(page, "real-mqtt-1280");
  });

  it("says who may do what, and that the record of it is whole", async () => {
    await visit(page, "/access?action=iot:Publish&resource=arn:aws:iot:us-east-1:000000000000:topic/hall");
    await page.getByRole("cell", { name: `user/${person.user}` }).waitFor();
    await page.getByText("Allowed").first().waitFor();
    await shoot(page, "real-who-can-1280");
    await visit(page, `/access?principal=arn:aws:iam::000000000000:user/${person.user}`);
    await page.getByText("Allowed").first().waitFor();
    await visit(page, "/audit");
    await page.getByText("The log is whole").waitFor();
    await page.getByRole("cell", { name: "CreateThingGroup" }).first().waitFor();
    await shoot(page, "real-audit-1280", { fullPage: false });
    await visit(page, "/");
    await page.getByRole("img", { name: /^API calls per second: now Calls/ }).waitFor();
    await shoot(page, "real-home-1280");
    assert.deepEqual(faults.splice(0), []);
  });

  it("signs out, and in again with the second factor", async () => {
    await page.getByTitle("Account menu").click();
    await page.getByRole("menuitem", { name: "Sign out" }).click();
    await page.getByRole("heading", { name: "Sign in" }).waitFor();
    await page.goto(new URL("/console/things", marram.welcome).href);
    await page.getByRole("heading", { name: "Sign in" }).waitFor();
    await page.waitForTimeout(NEXT_CODE_MILLIS);
    await signIn(page, { ...person, password: PASSWORD });
    await page.getByRole("heading", { level: 1, name: "Things" }).waitFor();
    assert.deepEqual(faults, []);
  });
});
