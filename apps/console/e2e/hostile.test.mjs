// Names and messages written by others are text; other pages cannot put ours into a frame.
import assert from "node:assert/strict";
import { createServer } from "node:http";
import { after, before, describe, it } from "node:test";
import { arn, base64, componentArn } from "../mock/world.mjs";
import { enrol, launch, openContext, REAL, startServer, visit } from "./browser.mjs";

const EVIL = "<img src=x onerror=window.hit=1>";

describe("hostile", { skip: REAL && "against the scripted server only" }, () => {
  let server, browser, context, page, faults;
  before(async () => {
    server = await startServer({ things: 10 });
    const { world } = server;
    const now = Date.now() / 1000;
    world.things.set(EVIL, {
      thingName: EVIL,
      thingArn: arn(`thing/${EVIL}`),
      version: 1,
      attributes: { [EVIL]: EVIL },
    });
    world.groups.set(EVIL, {
      thingGroupName: EVIL,
      thingGroupArn: arn(`thinggroup/${EVIL}`),
      version: 1,
      description: EVIL,
      members: new Set([EVIL]),
      createdAt: now,
    });
    world.components.set(EVIL, {
      componentName: EVIL,
      arn: componentArn(EVIL),
      versions: [
        {
          version: "1.0.0",
          at: now,
          description: EVIL,
          publisher: EVIL,
          recipe: JSON.stringify({ ComponentName: EVIL }),
        },
      ],
    });
    world.cores.set(EVIL, {
      ...world.cores.get("gateway-hall-1"),
      coreDeviceThingName: EVIL,
      platform: EVIL,
      installed: [
        {
          componentName: EVIL,
          componentVersion: EVIL,
          lifecycleState: EVIL,
          lifecycleStateDetails: EVIL,
          isRoot: true,
        },
      ],
      effective: [],
      clients: [],
    });
    world.deployments.push({
      ...world.deployments[1],
      deploymentId: "evil",
      deploymentName: EVIL,
      executions: { [EVIL]: { status: "FAILED", reason: EVIL } },
    });
    world.logs.set(`/aws/greengrass/UserComponent/us-east-1/${EVIL}`, {
      creationTime: 0,
      streams: new Map([[`/2026/11/22/thing/${EVIL}`, [{ timestamp: Date.now(), message: EVIL, eventId: "1" }]]]),
    });
    world.audit.unshift({
      sequence: 999,
      eventID: "evil",
      eventTime: new Date().toISOString(),
      eventSource: EVIL,
      eventName: EVIL,
      errorCode: EVIL,
      userIdentity: { userName: EVIL },
      resources: [{ ARN: arn(`thing/${EVIL}`) }],
    });
    browser = await launch();
    ({ context, faults } = await openContext(browser, new URL(server.url).origin));
    page = await context.newPage();
    await enrol(page, server.welcome);
  });
  after(async () => {
    await browser.close();
    await server.close();
  });

  const name = encodeURIComponent(EVIL);
  for (const path of [
    "/",
    "/things",
    `/thing?name=${name}`,
    "/groups",
    `/group?name=${name}`,
    "/components",
    `/component?name=${name}`,
    "/cores",
    `/core?name=${name}`,
    "/deployments",
    "/deployment?id=evil",
    `/logs?component=${name}`,
    "/audit",
    `/access?principal=${name}`,
  ]) {
    it(`shows a hostile name as text on ${path.split("?")[0]}`, async () => {
      await visit(page, path);
      if (path !== "/") await page.getByText(EVIL).first().waitFor();
      assert.equal(await page.evaluate(() => window.hit), undefined);
      assert.equal(await page.locator('img[src="x"]').count(), 0);
      assert.deepEqual(faults.splice(0), []);
    });
  }

  it("shows a hostile message as text", async () => {
    await visit(page, "/mqtt");
    await page.getByLabel("Filter").fill("evil/#");
    await page.getByRole("button", { name: "Subscribe" }).click();
    await page.getByText("listening", { exact: true }).waitFor();
    for (const send of server.world.subscribers)
      send({ topic: `evil/${EVIL}`, payload: base64(EVIL), qos: 0, retained: false, at: Date.now() / 1000 });
    await page.getByText(`evil/${EVIL}`).waitFor();
    assert.equal(await page.evaluate(() => window.hit), undefined);
  });

  it("cannot be put into a frame", async () => {
    const trap = createServer((_, response) => response.end(`<iframe src="${server.url}"></iframe>`));
    await new Promise((done) => trap.listen(0, "127.0.0.1", done));
    const outside = await browser.newContext();
    const framing = await outside.newPage();
    await framing.goto(`http://127.0.0.1:${trap.address().port}/`);
    await framing.waitForFunction(() => window.length === 1);
    const frame = framing.frames()[1];
    await frame.waitForLoadState();
    assert.doesNotMatch(await frame.content(), /id="root"/);
    await outside.close();
    await new Promise((done) => trap.close(done));
  });
});
