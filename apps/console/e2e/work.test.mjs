// A day's work: things, groups, components, deployments, shadows, messages; long lists, slow and failing answers.
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { Fault } from "../mock/server.mjs";
import { enrol, launch, openContext, REAL, shoot, startServer, visit } from "./browser.mjs";

describe("work", { skip: REAL && "against the scripted server only" }, () => {
  let server, browser, page, faults;
  before(async () => {
    server = await startServer({ things: 100_000 });
    browser = await launch();
    const opened = await openContext(browser, new URL(server.url).origin);
    faults = opened.faults;
    page = await opened.context.newPage();
    await enrol(page, server.welcome);
  });
  after(async () => {
    assert.deepEqual(faults, []);
    await browser.close();
    await server.close();
  });

  it("pages through 100,000 things with few rows in the page", async () => {
    await visit(page, "/things");
    // At the end of what is there more of it is fetched.
    await page.waitForFunction(() => {
      window.scrollTo(0, document.body.scrollHeight);
      return Number(/([\d,.]+) shown/.exec(document.body.textContent)?.[1].replace(/\D/g, "")) >= 2_000;
    });
    const rows = await page.locator("tbody tr").count();
    assert.ok(rows < 200, `${rows} rows are in the page`);
    await shoot(page, "things-scrolled-1280", { fullPage: false });
  });

  it("makes a thing and edits its attributes", async () => {
    await visit(page, "/things");
    await page.getByRole("button", { name: "New thing" }).click();
    await page.getByRole("dialog").getByLabel("Name").fill("gateway-hall-9");
    await page.getByRole("button", { name: "Create" }).click();
    await page.getByRole("heading", { level: 1, name: "gateway-hall-9" }).waitFor();
    await page.getByRole("button", { name: "Edit" }).click();
    await page.getByRole("button", { name: "Add" }).click();
    await page.getByLabel("Name", { exact: true }).fill("hall");
    await page.getByPlaceholder("value").fill("9");
    await page.getByRole("button", { name: "Save" }).click();
    await page.getByText("The attributes are saved.").waitFor();
    assert.deepEqual(server.world.things.get("gateway-hall-9").attributes, { hall: "9" });
  });

  it("tells why a thing cannot be made, and keeps what was typed", async () => {
    await visit(page, "/things");
    await page.getByRole("button", { name: "New thing" }).click();
    await page.getByRole("dialog").getByLabel("Name").fill("gateway-hall-1");
    await page.getByRole("button", { name: "Create" }).click();
    await page.getByText("ResourceAlreadyExistsException").waitFor();
    assert.equal(await page.getByRole("dialog").getByLabel("Name").inputValue(), "gateway-hall-1");
  });

  it("makes a component, deploys it to a group and says what it waits for", async () => {
    await visit(page, "/new-component");
    await page.getByRole("button", { name: "Create version" }).click();
    await page.getByRole("heading", { level: 1, name: "com.example.Hello" }).waitFor();
    await page.getByRole("link", { name: "Deploy 1.0.0" }).click();
    await page.getByRole("combobox", { name: "Core or group" }).click();
    await page.getByRole("option", { name: "plant-1-gateways" }).click();
    await page.getByRole("button", { name: "Change its configuration" }).click();
    await page.getByRole("textbox", { name: "Merge" }).fill('{"interval": 5}');
    await page.getByRole("button", { name: "Deploy", exact: true }).click();
    await page.getByText("Last heard from 1 day ago").waitFor();
    await page.getByText("Not fetched yet.").first().waitFor();
    const made = server.world.deployments.at(-1);
    const { componentVersion, configurationUpdate } = made.components["com.example.Hello"];
    assert.equal(componentVersion, "1.0.0");
    assert.deepEqual(JSON.parse(configurationUpdate.merge), { interval: 5 });
    await page.getByRole("button", { name: "Cancel deployment" }).click();
    await page.getByRole("dialog").getByRole("button", { name: "Cancel deployment" }).click();
    await page.getByText("The deployment is cancelled.").waitFor();
    assert.equal(made.deploymentStatus, "CANCELED");
  });

  it("edits a shadow and does not overwrite what somebody else wrote meanwhile", async () => {
    await visit(page, "/thing?name=press-000000&tab=shadows");
    await page.getByRole("button", { name: "Edit" }).click();
    await page.getByRole("textbox", { name: "Desired" }).fill('{"speed": 50, "mode": "auto", "limits": {"max": 90}}');
    const shadow = server.world.shadows.get("press-000000/");
    Object.assign(shadow, { version: shadow.version + 1, desired: { ...shadow.desired, mode: "manual" } });
    await page.getByRole("button", { name: "Save" }).click();
    await page.getByText("The shadow has changed since you began").waitFor();
    await shoot(page, "shadow-conflict-1280");
    assert.equal(shadow.desired.speed, 40);
    await page.getByRole("button", { name: "Keep my text" }).click();
    await page.getByText("The shadow has changed since you began").waitFor({ state: "detached" });
    await page.getByRole("button", { name: "Save" }).click();
    await page.getByText("The shadow is saved.").waitFor();
    assert.deepEqual(shadow.desired, { speed: 50, mode: "auto", limits: { max: 90 } });
  });

  it("subscribes, publishes, pauses and goes on", async () => {
    await visit(page, "/mqtt");
    await page.getByLabel("Filter").fill("test/+");
    await page.getByRole("button", { name: "Subscribe" }).click();
    await page.getByText("listening", { exact: true }).waitFor();
    await page.getByLabel("Topic").fill("test/one");
    await page.getByRole("button", { name: "Publish" }).click();
    await page.getByText('"hello": "marram"').nth(1).waitFor();
    await page.getByRole("button", { name: "Pause" }).click();
    await page.getByLabel("Topic").fill("test/two");
    await page.getByRole("button", { name: "Publish" }).click();
    await page.getByRole("button", { name: "Go on (1)" }).click();
    await page.getByRole("article").filter({ hasText: "test/two" }).waitFor();
    await shoot(page, "mqtt-messages-1280");
    await page.getByLabel("Show only messages with").fill("test/one");
    await page.getByRole("article").filter({ hasText: "test/two" }).waitFor({ state: "detached" });
    assert.equal(await page.getByRole("article").count(), 1);
  });

  it("deactivates a certificate after asking", async () => {
    const [certificate] = server.world.certificates;
    await visit(page, `/certificate?id=${certificate.certificateId}`);
    await page.getByRole("button", { name: "Deactivate" }).click();
    await page.getByRole("dialog").getByRole("button", { name: "Deactivate" }).click();
    await page.getByText("lets nobody in any more").waitFor();
    assert.equal(certificate.status, "INACTIVE");
  });

  it("asks who it is before something is destroyed, when the server wants it", async () => {
    await visit(page, "/group?name=canary");
    server.fail.set("iot.DeleteThingGroup", new Fault(403, "ReauthenticationRequiredException", "again, please"));
    await page.getByRole("button", { name: "Delete" }).click();
    await page.getByLabel("Type canary to go on").fill("canary");
    await page.getByRole("dialog").getByRole("button", { name: "Delete" }).click();
    const dialog = page.getByRole("dialog", { name: "Is it still you?" });
    await dialog.waitFor();
    await shoot(page, "reauthenticate-1280", { fullPage: false });
    await dialog.getByRole("button", { name: "Cancel" }).click();
    await page.getByText("ReauthenticationRequiredException").waitFor();
    assert.ok(server.world.groups.has("canary"));
    server.fail.clear();
  });

  it("shows a failing answer with its code and recovers", async () => {
    server.fail.set("greengrassv2.ListComponents", new Fault(500, "InternalServerException", "the disk is full"));
    await visit(page, "/components");
    await page.getByText("the disk is full").waitFor();
    await shoot(page, "failure-1280");
    server.fail.clear();
    await page.getByRole("button", { name: "Try again" }).click();
    await page.getByRole("link", { name: "com.example.Historian" }).waitFor();
  });

  it("does not move the page when a slow answer arrives", async () => {
    let release;
    server.held = new Promise((done) => {
      release = done;
    });
    await page.goto(new URL("cores", server.url).href);
    await page.locator('table[aria-busy="true"]').waitFor();
    const heads = () =>
      page.locator("th").evaluateAll((cells) => cells.map((cell) => Math.round(cell.getBoundingClientRect().top)));
    const early = await heads();
    server.held = null;
    release();
    await page.getByRole("link", { name: "gateway-hall-1" }).waitFor();
    assert.deepEqual(await heads(), early);
  });
});
