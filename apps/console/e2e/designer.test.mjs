// The integrator's day: model a device, draw a flow with it, simulate, deploy, watch it fail, mend it, watch it go on.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { axeFindings, paint, settled, shoot, visit } from "./browser.mjs";
import { call, choose, namespace, openConsole, openFlow, quiet, SERVERS, step } from "./graph.mjs";

const FLOW = "Watch";
/** A deployment and a run on a busy machine. */
const SLOW_MILLIS = 180_000;

for (const server of SERVERS)
  describe(`models and flows against ${server === "Marram" ? "Marram itself" : "the scripted server"}`, () => {
    let opened;
    let page;
    let home;

    before(async () => {
      opened = await openConsole({ server });
      page = opened.page;
      home = await namespace(page);
      await call(page, "iot", "CreateThing", { thingName: "e2e-camera" });
    });

    after(async () => {
      await opened?.close();
    });

    async function clean(name) {
      const shot = `${server === "Marram" ? "real-" : ""}build-${name}`;
      for (const scheme of ["dark", "light"]) {
        await paint(page, scheme);
        assert.deepEqual(await axeFindings(page), [], `axe: ${name} in ${scheme}`);
        await shoot(page, `${shot}-1280-${scheme}`, { fullPage: false });
      }
      assert.deepEqual(opened.faults, [], `console: ${name}`);
    }

    test("a device model is made with the wizard, uploaded, and drawn with what it offers", async () => {
      await visit(page, "/models/new");
      await page.getByRole("textbox", { name: "Name", exact: true }).fill("Garden pump");
      await page.getByRole("button", { name: "Field", exact: true }).click();
      await page.getByLabel("Name of field 1").fill("pressure");
      await page.getByRole("button", { name: "Action", exact: true }).click();
      await page.getByLabel("Name of action 1").fill("run");
      await page.getByRole("button", { name: "Input", exact: true }).click();
      await page.getByLabel("Input 1 of action 1", { exact: true }).fill("seconds");
      await page.getByRole("button", { name: "Event", exact: true }).click();
      await page.getByLabel("Name of event 1").fill("dry");
      await clean("wizard");
      await page.getByRole("button", { name: "Upload", exact: true }).click();
      await page.getByRole("heading", { level: 1, name: /GardenPump/ }).waitFor();
      await page.getByTestId("capability-graph").getByText("run", { exact: true }).waitFor();
      await clean("model");
      await visit(page, "/models?from=yours&q=garden");
      await page
        .getByRole("link", { name: /^GardenPump/ })
        .first()
        .waitFor();
      await clean("models");
    });

    test("a change of a stored model is compared, refused while it is wrong, and uploaded with its progress", async () => {
      const id = `${home}:Action:GardenPumpRun`;
      await page.goto(new URL(`/console/models/edit?id=${encodeURIComponent(id)}`, page.url()).href);
      await settled(page);
      const editor = page.getByRole("textbox", { name: "Entities" });
      await editor.click();
      await page.keyboard.press("Control+End");
      await page.keyboard.type("\n# a remark changes nothing");
      await page.getByText("the same").or(page.getByText("only written differently")).first().waitFor();
      await page.keyboard.type("\n}");
      await page.getByRole("tab", { name: /Problems/ }).click();
      await page
        .getByText(/TDM200\d/)
        .first()
        .waitFor();
      assert.equal(await page.getByRole("button", { name: "Upload", exact: true }).isDisabled(), true);
      await editor.click();
      await page.keyboard.press("Control+End");
      // The editor may indent the new line: what is taken away beyond it belongs to the remark.
      for (let left = 0; left < 6; left += 1) await page.keyboard.press("Backspace");
      await page
        .getByText(/TDM200\d/)
        .first()
        .waitFor({ state: "detached" });
      await clean("editor");
    });

    test("letters that come faster than the page renders are all kept, in their order", async () => {
      await visit(page, "/models/edit");
      const editor = page.getByRole("textbox", { name: "Entities" });
      await editor.click();
      const typed = await editor.evaluate(async () => {
        const port = new MessageChannel();
        // A turn of the event loop: the page renders between some letters and not between others.
        const turn = () =>
          new Promise((next) => {
            port.port1.onmessage = next;
            port.port2.postMessage(null);
          });
        let text = "";
        for (let at = 0; at < 300; at += 1) {
          const letter = String.fromCharCode(97 + (at % 26));
          document.execCommand("insertText", false, letter);
          text += letter;
          for (let turns = (at * 7) % 4; turns > 0; turns -= 1) await turn();
        }
        return text;
      });
      // A last echo of the page would come within this wait, and change the line.
      await page.getByText("TDM2001").or(page.getByText("defines no entity")).first().waitFor();
      assert.equal(await editor.locator(".cm-line").first().textContent(), typed);
    });

    test("a flow is drawn with keys and pointer, its mistakes are told at the step, and everything can be undone", async () => {
      await openFlow(page, `${home}:Workflow:${FLOW}`, true);
      await page.getByText("An empty flow").waitFor();
      await clean("empty-flow");
      // By keyboard: find, Enter.
      await page.keyboard.press("/");
      await page.keyboard.type("camera capture");
      await page
        .getByRole("navigation", { name: "Palette" })
        .getByRole("button", { name: /^Camera\b/ })
        .first()
        .waitFor();
      await page.keyboard.press("Enter");
      await step(page, "capture").waitFor();
      // By pointer: drag from the palette onto the canvas.
      await page.getByRole("textbox", { name: "Find a step to add" }).fill("screen");
      const entry = page.getByRole("navigation", { name: "Palette" }).getByRole("button", { name: /^Screen/ });
      await entry.dragTo(page.getByTestId("canvas"), { targetPosition: { x: 380, y: 420 } });
      await step(page, "display").waitFor();
      // Connect the handles, which stand still once everything is answered.
      await quiet(page);
      const from = await step(page, "capture").locator(".react-flow__handle.source").first().boundingBox();
      const to = await step(page, "display").locator(".react-flow__handle.target").boundingBox();
      await page.mouse.move(from.x + from.width / 2, from.y + from.height / 2);
      await page.mouse.down();
      await page.mouse.move(to.x + to.width / 2, to.y + to.height / 2, { steps: 12 });
      await page.mouse.up();
      await page.locator(".react-flow__edge").first().waitFor({ state: "attached" });
      // Keep the picture, use it.
      await step(page, "capture").click();
      await page.getByLabel("Keep the result as").fill("picture");
      await page.keyboard.press("Enter");
      await page.getByRole("button", { name: "Undo" }).and(page.locator(":enabled")).waitFor();
      await step(page, "display").click();
      const field = page.getByRole("combobox", { name: /^imageUrl/ });
      await field.fill("${nobody}");
      await page.getByText(/unknown name/).waitFor();
      await clean("type-error");
      await field.fill("${pic");
      await page
        .getByRole("option", { name: /^picture\b/ })
        .first()
        .click();
      await page.keyboard.type(".lastClickedImage}");
      await page.keyboard.press("Enter");
      await quiet(page);
      // Undo the argument, redo it.
      await page.getByRole("heading", { level: 1, name: FLOW }).click();
      await page.keyboard.press("Control+z");
      await page.waitForFunction((name) => document.querySelector(`input[value="\${${name}}"]`) === null, "picture");
      await page.keyboard.press("Control+Shift+z");
      // Copy, paste, remove.
      await step(page, "display").click();
      await page.getByRole("button", { name: "Copy this step" }).click();
      await step(page, "display 2").waitFor();
      await step(page, "display 2").click();
      await page.keyboard.press("Delete");
      await step(page, "display 2").waitFor({ state: "detached" });
      await page.getByRole("button", { name: "Tidy up" }).click();
      await clean("drawn");
    });

    test("drawing and text are one document", async () => {
      await page.getByText("Both", { exact: true }).click();
      const text = page.getByRole("textbox", { name: "TDM text of the flow" });
      await text.waitFor();
      await page.getByText("@position").first().waitFor();
      const before = await text.textContent();
      await step(page, "capture").focus();
      await page.keyboard.press("Enter");
      await page.keyboard.press("ArrowDown");
      await page.waitForFunction(
        (old) =>
          document.querySelector("[data-testid=tdm-editor]").shadowRoot.querySelector(".cm-content").textContent !==
          old,
        before,
      );
      await clean("split");
      await page.getByText("Drawing", { exact: true }).click();
    });

    test("the flow is simulated and played step by step on the drawing", async () => {
      await page.getByRole("tab", { name: "Simulate" }).click();
      await page.getByRole("list", { name: "What happened" }).getByText("The flow is done.").waitFor();
      await page.getByRole("button", { name: "To the start" }).click();
      for (let press = 0; press < 2; press += 1) await page.getByRole("button", { name: "Step forward" }).click();
      await step(page, "capture").getByText("running").waitFor();
      await clean("simulation");
      for (let press = 0; press < 8; press += 1) await page.getByRole("button", { name: "Step forward" }).click();
      await step(page, "display").getByText("done").waitFor();
      await page.getByRole("tab", { name: "Simulate" }).click();
    });

    test("it is saved and deployed; the plan says what is newly allowed", async () => {
      await page.getByRole("button", { name: "Save", exact: true }).click();
      await page.getByText("revision 1", { exact: true }).waitFor();
      await page.getByRole("button", { name: "Deploy", exact: true }).click();
      await page.getByRole("heading", { level: 1, name: `Deploy ${FLOW}` }).waitFor();
      await settled(page);
      await clean("deploy-system");
      await page.getByRole("button", { name: "Next" }).click();
      const role = page.getByLabel("Role", { exact: true }).first();
      await role.click();
      await page.getByRole("option", { name: /MarramDemoFlows/ }).click();
      await clean("deploy-where");
      await page.getByRole("button", { name: "Next" }).click();
      await page.getByRole("button", { name: "Another thing…" }).first().click();
      await page.getByLabel("Name of the thing").fill("e2e-camera");
      await page.getByRole("button", { name: "Introduce it" }).click();
      await page.getByLabel("Name of the thing").waitFor({ state: "detached" });
      await choose(page, "screen", /demo-screen/);
      await clean("deploy-things");
      await page.getByRole("button", { name: "Next" }).click();
      await page.getByRole("button", { name: "Every so often" }).click();
      await choose(page, "Unit", "seconds");
      await page.getByLabel("Every", { exact: true }).fill("3");
      await clean("deploy-triggers");
      await page.getByRole("button", { name: "Next" }).click();
      await page.getByText("topic/e2e-camera/capture", { exact: true }).first().waitFor();
      await clean("deploy-plan");
      await page.getByRole("button", { name: "Deploy", exact: true }).click();
      await page.getByRole("link", { name: "Watch it run" }).waitFor({ timeout: SLOW_MILLIS });
      await clean("deployed");
    });

    test("the failure is seen on the drawing with its reason, mended in the designer, and seen mended", async () => {
      await page.getByRole("link", { name: "Watch it run" }).click();
      await page.getByRole("heading", { level: 1, name: FLOW }).waitFor();
      await step(page, "capture")
        .getByText(/^failed/)
        .waitFor({ timeout: SLOW_MILLIS });
      await page.getByRole("alert").getByText("No retry or catch matched.").first().waitFor();
      await clean("live-failure");
      await page.getByRole("link", { name: "Edit the flow" }).click();
      await step(page, "capture").click();
      await page.getByRole("button", { name: "Catch", exact: true }).click();
      await step(page, "capture").getByText("States.ALL").waitFor();
      await page.getByRole("button", { name: "Save", exact: true }).click();
      await page.getByText("revision 2", { exact: true }).waitFor();
      await visit(page, `/live/watch?id=${encodeURIComponent(`${home}:Deployment:${FLOW}`)}`);
      await page.getByRole("button", { name: "Deploy again" }).click();
      await page.getByRole("dialog").getByRole("button", { name: "Deploy", exact: true }).click();
      await page.getByRole("dialog").waitFor({ state: "detached", timeout: SLOW_MILLIS });
      await step(page, "capture")
        .getByText(/^failed, caught/)
        .waitFor({ timeout: SLOW_MILLIS });
      await clean("live-caught");
      await page.getByRole("button", { name: "Undeploy…" }).click();
      await page.getByRole("dialog").getByRole("button", { name: "Undeploy" }).click();
      await page.getByRole("dialog").waitFor({ state: "detached", timeout: SLOW_MILLIS });
      await visit(page, "/live");
      await clean("live");
    });

    test("names and texts of strangers stay text", async () => {
      const evil = '<img src=x onerror="document.title=1">';
      await openFlow(page, `${home}:Workflow:Evil`, true);
      await page.getByText("Text", { exact: true }).click();
      const text = page.getByRole("textbox", { name: "TDM text of the flow" });
      await text.click();
      await page.keyboard.press("Control+a");
      const source = `query Evil @workflowType(id: "${home}:Workflow:Evil", description: '${evil}') { steps { step(name: '${evil}') { ChoiceActivity { rule(name: '${evil}', expr: "${"${nobody}"}") { setEvent(name: '${evil}') } default } } } }`;
      await page.keyboard.insertText(source);
      await page.getByText("Drawing", { exact: true }).click();
      const node = page.locator(".react-flow__node").filter({ hasText: evil });
      await node.waitFor();
      await node.click();
      assert.equal(await page.getByLabel("Name", { exact: true }).first().inputValue(), evil);
      assert.notEqual(await page.title(), "1");
      assert.equal(await page.locator('img[src="x"]').count(), 0);
      await clean("strangers");
    });
  });
