// Every flow of the repository in the designer of Marram itself: a step is moved and saved, and the text differs only there.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { after, before, describe, test } from "node:test";
import { ask, call, namespace, openConsole, openFlow, pasteText, SERVERS, step } from "./graph.mjs";

const ROOT = new URL("../../../", import.meta.url).pathname;
const POSITION = /\s?@position\(x: -?[\d.]+, y: -?[\d.]+\)/;
const HOME = /urn:tdm:(?:REGION\/ACCOUNT|us-east-1\/000000000000)\/default/g;

describe("the corpus of flows", {
  skip: !SERVERS.includes("Marram") && "needs MARRAM_CONSOLE_URL or MARRAM_BIN",
}, () => {
  let opened;
  let page;
  let home;

  const read = (path) =>
    readFileSync(ROOT + path, "utf8")
      .replaceAll(/\bNS:/g, `${home}:`)
      .replaceAll(HOME, home);

  before(async () => {
    opened = await openConsole({ server: "Marram" });
    page = opened.page;
    home = await namespace(page);
  });
  after(async () => {
    await opened?.close();
  });

  async function upload(text) {
    const started = await call(page, "iotthingsgraph", "UploadEntityDefinitions", {
      document: { language: "GRAPHQL", text },
    });
    assert.ok(started.output, JSON.stringify(started));
    for (;;) {
      const { output } = await call(page, "iotthingsgraph", "GetUploadStatus", { uploadId: started.output.uploadId });
      if (output.uploadStatus === "SUCCEEDED") return;
      assert.equal(output.uploadStatus, "IN_PROGRESS", JSON.stringify(output.failureReason));
      await page.waitForTimeout(200);
    }
  }

  test("a step of each flow is moved by hand and saved", async () => {
    await upload(read("crates/domain/tdm/tests/world/entities.tdm"));
    const flows = [
      ["crates/domain/tdm/tests/world/flow.tdm", "FromWorld"],
      ["apps/marram/demo/motion/flow.tdm", "FromMotion"],
      ["apps/marram/demo/sprinkler/flow.tdm", "FromSprinkler"],
      ["docs/examples/irrigation/flow.tdm", "FromExample"],
    ];
    for (const [path, name] of flows) {
      const urn = `${home}:Workflow:${name}`;
      const source = read(path).replace(/:Workflow:\w+/, `:Workflow:${name}`);
      await openFlow(page, urn, true);
      await pasteText(page, source);
      await page.getByText("Drawing", { exact: true }).click();
      const drawn = await ask(page, "flow", { text: source });
      const first = drawn.flows[0].nodes.find((node) => !node.readOnly).name;
      await step(page, first).click();
      await step(page, first).focus();
      await page.keyboard.press("ArrowDown");
      const save = page.getByRole("button", { name: "Save", exact: true });
      await page.getByRole("button", { name: "Undo" }).hover();
      await page.getByText(`Undo: Move “${first}”`).waitFor();
      await save.click();
      await page.getByText("revision 1", { exact: true }).waitFor();
      const { output } = await call(page, "iotthingsgraph", "GetFlowTemplate", { id: urn });
      const saved = output.description.definition.text;
      assert.notEqual(saved, source, path);
      assert.equal(saved.replace(POSITION, ""), source, path);
    }
    assert.deepEqual(opened.faults, []);
  });
});
