// A flow of 500 steps: drawn, panned, dragged and edited; long tasks are measured and told, never judged by the clock.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { shoot } from "./browser.mjs";
import { namespace, openConsole, openFlow, pasteText, quiet } from "./graph.mjs";

const STEPS = 500;
let opened;
let page;

before(async () => {
  opened = await openConsole();
  page = opened.page;
});

after(async () => {
  await opened?.close();
});

/** A flow that widens to ten lanes, with a choice in every tenth step. */
function largeFlow(urn) {
  const steps = Array.from({ length: STEPS }, (_, index) => {
    const wait = index === 0 ? "" : `, inEvent: ["e${Math.max(0, index - 10)}"]`;
    const place = ` @position(x: ${Math.floor(index / 10) * 330}, y: ${(index % 10) * 150})`;
    if (index % 10 === 9) {
      return `    step(name: "step ${index}"${wait})${place} { ChoiceActivity { rule(name: "again", expr: "\${true}") { setEvent(name: "e${index}") } default } }`;
    }
    return `    step(name: "step ${index}"${wait}, outEvent: ["e${index}"])${place} { DeviceActivity(deviceModel: "urn:tdm:aws/examples:DeviceModel:Camera", deviceId: "\${camera}") { capture } }`;
  });
  return `query Large($camera: string!) @workflowType(id: "${urn}") {\n  steps {\n${steps.join("\n")}\n  }\n}\n`;
}

/** Long tasks and frames during an action. */
async function measured(name, act) {
  await page.evaluate(() => {
    globalThis.seen = { long: [], frames: [] };
    globalThis.observer = new PerformanceObserver((list) => {
      for (const entry of list.getEntries()) globalThis.seen.long.push(Math.round(entry.duration));
    });
    globalThis.observer.observe({ entryTypes: ["longtask"] });
    let last = performance.now();
    const frame = (now) => {
      globalThis.seen.frames.push(now - last);
      last = now;
      globalThis.pending = requestAnimationFrame(frame);
    };
    globalThis.pending = requestAnimationFrame(frame);
  });
  const start = Date.now();
  await act();
  const seen = await page.evaluate(() => {
    globalThis.observer.disconnect();
    cancelAnimationFrame(globalThis.pending);
    return globalThis.seen;
  });
  const frames = seen.frames.sort((a, b) => a - b);
  const at = (share) => Math.round((frames[Math.floor(frames.length * share)] ?? 0) * 10) / 10;
  console.log(
    JSON.stringify({
      bench: "designer_large",
      what: name,
      steps: STEPS,
      ms: Date.now() - start,
      frames: frames.length,
      frame_p50_ms: at(0.5),
      frame_p95_ms: at(0.95),
      long_tasks: seen.long.length,
      longest_ms: Math.max(0, ...seen.long),
    }),
  );
}

/** How often steps were drawn, by name, while something was done. */
async function drawn(name, act) {
  await page.evaluate(() => {
    globalThis.stepsDrawn = {};
    globalThis.marramStepDrawn = (step) => {
      globalThis.stepsDrawn[step] = (globalThis.stepsDrawn[step] ?? 0) + 1;
    };
  });
  await measured(name, act);
  return page.evaluate(() => {
    globalThis.marramStepDrawn = undefined;
    return globalThis.stepsDrawn;
  });
}

const nodes = () => page.locator(".react-flow__node");
const seen = () => nodes().count();

/** The step that stands nearest to the middle of what is seen. */
async function nearest() {
  const box = await page.getByTestId("canvas").boundingBox();
  return page.evaluate(
    ([x, y]) =>
      [...document.querySelectorAll(".react-flow__node")]
        .map((one) => ({ id: one.dataset.id, box: one.getBoundingClientRect() }))
        .sort((a, b) => Math.hypot(a.box.x - x, a.box.y - y) - Math.hypot(b.box.x - x, b.box.y - y))[0].id,
    [box.x + box.width / 2 - 120, box.y + box.height / 2],
  );
}

test("of 500 steps those in view are in the page, and only what changes is drawn again", async () => {
  const home = await namespace(page);
  await openFlow(page, `${home}:Workflow:Large`, true);
  await pasteText(page, largeFlow(`${home}:Workflow:Large`));
  await page.getByText("Drawing", { exact: true }).waitFor();
  const first = await drawn("draw", async () => {
    await page.getByText("Drawing", { exact: true }).click();
    await nodes().first().waitFor();
  });
  const shown = await seen();
  assert.ok(shown > 0 && shown < 60, `it opens where it begins: ${shown} steps are in the page`);
  assert.ok(Object.keys(first).length < 150, `${Object.keys(first).length} steps were drawn to show ${shown}`);

  const canvas = await page.getByTestId("canvas").boundingBox();
  const panned = await drawn("pan", async () => {
    for (let turn = 0; turn < 3; turn += 1) {
      // From a place where no step stands.
      const from = await page.evaluate((box) => {
        for (let x = box.x + box.width - 60; x > box.x; x -= 7)
          for (let y = box.y + 80; y < box.y + box.height - 160; y += 7)
            if (document.elementFromPoint(x, y)?.classList.contains("react-flow__pane")) return { x, y };
        return null;
      }, canvas);
      await page.mouse.move(from.x, from.y);
      await page.mouse.down();
      await page.mouse.move(from.x - 380, from.y - 10, { steps: 40 });
      await page.mouse.up();
    }
  });
  const again = Object.values(panned).filter((times) => times > 3).length;
  assert.equal(again, 0, `steps that stay in view are not drawn again while it is panned: ${JSON.stringify(panned)}`);

  const name = await nearest();
  const node = page.locator(`.react-flow__node[data-id="${name}"]`);
  const box = await node.boundingBox();
  const dragged = await drawn("drag", async () => {
    await page.mouse.move(box.x + 40, box.y + 12);
    await page.mouse.down();
    for (let turn = 1; turn <= 40; turn += 1) await page.mouse.move(box.x + 40 + turn * 4, box.y + 12 + turn * 2);
    await page.mouse.up();
    await page.getByRole("button", { name: "Undo" }).and(page.locator(":enabled")).waitFor();
    await quiet(page);
  });
  const others = Object.entries(dragged).filter(([step, times]) => step !== name && times > 3);
  assert.deepEqual(others, [], "dragging one step draws no other one");
  await shoot(page, "build-large", { fullPage: false });

  const field = page.getByLabel("Name", { exact: true }).first();
  const renamed = await drawn("rename", async () => {
    await field.fill(`${name} moved`);
    await page.keyboard.press("Enter");
    await page.locator(`.react-flow__node[data-id="${name} moved"]`).waitFor();
    await quiet(page);
  });
  const touched = Object.keys(renamed).filter((step) => !step.startsWith(name));
  assert.deepEqual(touched, [], "the answer of the service draws the renamed step alone");

  await measured("whole", async () => {
    await page.getByRole("button", { name: "Zoom to fit" }).click();
    await page.waitForFunction((wanted) => document.querySelectorAll(".react-flow__node").length === wanted, STEPS);
  });
  const elements = await page.evaluate(() => document.querySelectorAll(".react-flow__node *").length);
  assert.ok(elements <= STEPS * 2, `from afar a step is a box with a name: ${elements} elements in ${STEPS} steps`);
  await shoot(page, "build-large-whole", { fullPage: false });
  assert.deepEqual(opened.faults, []);
});
