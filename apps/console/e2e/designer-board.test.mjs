// Systems, triggers and gateways in the designer, against Marram with a core: drawn, simulated, deployed, failing, mended.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { axeFindings, paint, settled, shoot, visit } from "./browser.mjs";
import { ask, call, choose, namespace, openConsole, openFlow, pasteText, quiet, SERVERS, step } from "./graph.mjs";
import { coreProgram } from "./real.mjs";

const CAMERA = "urn:tdm:aws/examples:DeviceModel:Camera";
/** A gateway has to fetch, start and report. */
const GATEWAY_MILLIS = 180_000;

describe("the designer and a gateway", {
  skip: (!SERVERS.includes("Marram") || !coreProgram) && "needs MARRAM_BIN with marram-core beside it",
}, () => {
  let opened, page, home;
  const trigger = (name) => page.locator(".react-flow__node").filter({ hasText: name });

  before(async () => {
    opened = await openConsole({ server: "Marram", core: true });
    page = opened.page;
    home = await namespace(page);
    // A camera that nobody plays: what it is asked stays unanswered.
    await call(page, "iot", "CreateThing", { thingName: "e2e-silent" });
    await call(page, "iotthingsgraph", "AssociateEntityToThing", {
      thingName: "e2e-silent",
      entityId: "urn:tdm:aws/examples:Device:RaspberryPiCamera",
    });
  });
  after(async () => {
    await opened?.close();
  });

  async function clean(name) {
    for (const scheme of ["dark", "light"]) {
      await paint(page, scheme);
      assert.deepEqual(await axeFindings(page), [], `axe: ${name} in ${scheme}`);
      await shoot(page, `board-${name}-1280-${scheme}`, { fullPage: false });
    }
    assert.deepEqual(opened.faults, [], `console: ${name}`);
  }

  test("retries, catches and checks are set in the inspector, drawn, and taken back", async () => {
    const urn = `${home}:Workflow:Patrol`;
    const source = `query Patrol($camera: string!) @workflowType(id: "${urn}") {\n  steps {\n    step(name: "look", timeout: "2 sec") { # once\n      DeviceActivity(deviceModel: "${CAMERA}", deviceId: "\${camera}", out: "seen") { capture }\n    }\n  }\n}\n`;
    await openFlow(page, urn, true);
    await pasteText(page, source);
    await page.getByText("Drawing", { exact: true }).click();
    await step(page, "look").click();
    await page.getByRole("button", { name: "Add a check" }).click();
    await step(page, "look").getByText("check", { exact: false }).first().waitFor();
    await page.getByRole("button", { name: "Retry", exact: true }).click();
    await page.getByText("Try again", { exact: true }).waitFor();
    await quiet(page);
    await clean("errors");
    await page.getByRole("heading", { level: 1, name: "Patrol" }).click();
    for (let left = 0; left < 2; left += 1) {
      await page.keyboard.press("Control+z");
      await quiet(page);
    }
    await page.getByText("Try again", { exact: true }).waitFor({ state: "detached" });
  });

  test("a clock is drawn with the flow and is what a deployment starts from", async () => {
    await page.getByRole("textbox", { name: "Find a step to add" }).fill("clock");
    await page
      .getByRole("navigation", { name: "Palette" })
      .getByRole("button", { name: /^Clock/ })
      .click();
    await trigger("Clock").waitFor();
    await page.getByLabel("Every", { exact: true }).fill("3");
    await page.keyboard.press("Enter");
    await quiet(page);
    await choose(page, "Unit", "seconds");
    await trigger("every 3 seconds").waitFor();
    await clean("stored-trigger");
    await page.getByRole("button", { name: "Save", exact: true }).click();
    await page.getByText("revision 1", { exact: true }).waitFor();
    await page.getByRole("tab", { name: "Simulate" }).click();
    await page.getByRole("list", { name: "What happened" }).getByText("The flow is done.").waitFor();
  });

  test("it is deployed to the core in five steps, and fails there", async () => {
    await page.getByRole("button", { name: "Deploy", exact: true }).click();
    await page.getByRole("heading", { level: 1, name: "Deploy Patrol" }).waitFor();
    await settled(page);
    await page.getByRole("button", { name: "Next" }).click();
    await page.getByRole("radio", { name: "On a gateway" }).click();
    await page.getByRole("combobox", { name: "Thing group of the gateway" }).fill("demo-floor");
    await page.waitForFunction(() => document.querySelector('input[placeholder="flows"]')?.value !== "");
    await clean("where");
    await page.getByRole("button", { name: "Next" }).click();
    await choose(page, "camera", /e2e-silent/);
    await page.getByRole("button", { name: "Next" }).click();
    await page.getByText("every 3 seconds").waitFor();
    await page.getByRole("button", { name: "Next" }).click();
    await page.getByRole("button", { name: "Deploy", exact: true }).click();
    await page.getByRole("link", { name: "Watch it run" }).waitFor({ timeout: GATEWAY_MILLIS });
    await page.getByRole("link", { name: "Watch it run" }).click();
    await step(page, "look")
      .getByText(/^failed/)
      .waitFor({ timeout: GATEWAY_MILLIS });
    await clean("failure");
  });

  test("the deployment's drawing binds another thing, and the core goes on with it", async () => {
    await page.getByRole("link", { name: "Things and triggers" }).click();
    await trigger("every 3 seconds").waitFor();
    await step(page, "camera").click();
    await choose(page, "Thing", /demo-core-camera/);
    await step(page, "camera")
      .getByText(/demo-core-camera/)
      .waitFor();
    await clean("deployment");
    await page.getByRole("button", { name: "Put it to use…" }).click();
    await page.getByRole("dialog").getByRole("button", { name: "Put it to use" }).click();
    await page.getByRole("button", { name: "Watch it run" }).waitFor({ timeout: GATEWAY_MILLIS });
    await page.getByRole("button", { name: "Watch it run" }).click();
    await step(page, "look").getByText(/^done/).waitFor({ timeout: GATEWAY_MILLIS });
    await clean("mended");
  });

  test("a system is drawn, gets a role by keys, and the text tells it", async () => {
    const urn = `${home}:System:PatrolSystem`;
    await visit(page, "/systems");
    await clean("systems");
    await page.getByRole("link", { name: "PatrolSystem" }).click();
    await step(page, "camera").waitFor();
    await page.getByRole("textbox", { name: "Find a step to add" }).fill("motion sensor");
    await page.keyboard.press("Enter");
    await step(page, "motionSensor").waitFor();
    await clean("system");
    await page.getByLabel("Role", { exact: true }).fill("gate");
    await page.keyboard.press("Enter");
    await step(page, "gate").waitFor();
    await page.getByRole("button", { name: "Save", exact: true }).click();
    await page.getByText("revision 2", { exact: true }).waitFor();
    const { output } = await call(page, "iotthingsgraph", "GetSystemTemplate", { id: urn });
    const { text } = output.description.definition;
    assert.match(text, /gate: MotionSensor @thing/);
    const { systems } = await ask(page, "flow", { text });
    assert.deepEqual(
      systems[0].edges.map((edge) => `${edge.source} ${edge.target}`),
      ["Patrol camera"],
    );
    await page.setViewportSize({ width: 390, height: 844 });
    await shoot(page, "board-system-390", { fullPage: false });
    await page.setViewportSize({ width: 1280, height: 800 });
  });
});
