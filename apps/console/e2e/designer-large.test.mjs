// A flow of 500 steps: drawn, panned, dragged and edited; long tasks are measured and told, never judged by the clock.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { shoot } from "./browser.mjs";
import { namespace, openConsole, openFlow, pasteText } from "./graph.mjs";

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

test("500 steps are drawn, panned, moved and edited; only what is seen is in the page, and one step moves one step", async () => {
  const home = await namespace(page);
  await openFlow(page, `${home}:Workflow:Large`, true);
  await pasteText(page, largeFlow(`${home}:Workflow:Large`));
  await measured("draw", async () => {
    await page.getByText("Drawing", { exact: true }).click();
    await page.locator(".react-flow__node").first().waitFor();
  });
  const canvas = await page.getByTestId("canvas").boundingBox();
  const middle = { x: canvas.x + canvas.width / 2, y: canvas.y + canvas.height / 2 };
  await measured("zoom in", async () => {
    for (let press = 0; press < 11; press += 1) await page.getByRole("button", { name: "Zoom In" }).click();
  });
  const seen = await page.locator(".react-flow__node").count();
  assert.ok(seen > 0 && seen < STEPS / 2, `only visible steps are in the page, not ${seen}`);
  await measured("pan", async () => {
    await page.keyboard.down("Space");
    for (let turn = 0; turn < 3; turn += 1) {
      await page.mouse.move(middle.x + 200, middle.y);
      await page.mouse.down();
      await page.mouse.move(middle.x - 200, middle.y - 10, { steps: 40 });
      await page.mouse.up();
    }
    await page.keyboard.up("Space");
  });
  // One that is whole in the middle of what is seen.
  const name = await page.evaluate(
    ([x, y]) =>
      [...document.querySelectorAll(".react-flow__node")]
        .map((one) => ({ id: one.dataset.id, box: one.getBoundingClientRect() }))
        .sort((a, b) => Math.hypot(a.box.x - x, a.box.y - y) - Math.hypot(b.box.x - x, b.box.y - y))[0].id,
    [middle.x - 200, middle.y],
  );
  const node = page.locator(`.react-flow__node[data-id="${name}"]`);
  const box = await node.boundingBox();
  await measured("drag", async () => {
    await page.mouse.move(box.x + 40, box.y + 12);
    await page.mouse.down();
    for (let turn = 1; turn <= 40; turn += 1) await page.mouse.move(box.x + 40 + turn * 4, box.y + 12 + turn * 2);
    await page.mouse.up();
  });
  await page
    .getByText(`Device`, { exact: true })
    .or(page.getByText("Choice", { exact: true }))
    .first()
    .waitFor();
  await shoot(page, "build-large", { fullPage: false });
  await measured("rename", async () => {
    const field = page.getByLabel("Name", { exact: true }).first();
    await field.fill(`${name} moved`);
    await page.keyboard.press("Enter");
    await page.locator(`.react-flow__node[data-id="${name} moved"]`).waitFor();
  });
  assert.deepEqual(opened.faults, []);
});
