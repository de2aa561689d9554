// Every flow of the repository in the designer of Marram itself: a step is moved and saved, and the text differs only there.
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
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

  /** The documents of a file: one each below a line of `====` that says what it shows. A file as a whole is no TDM. */
  function documents(path) {
    const [, ...parts] = `\n${read(path)}`.split(/\n==== /);
    return parts.map((part) => {
      const end = part.indexOf("\n");
      return { title: part.slice(0, end), text: part.slice(end + 1) };
    });
  }

  test("whatever step of whatever document is moved, the rest of the text stays as it is", async () => {
    const folder = "crates/domain/tdm/tests/diagnostics/";
    let moved = 0;
    for (const file of readdirSync(ROOT + folder).filter((name) => name.endsWith(".tdm"))) {
      for (const { title, text } of documents(folder + file)) {
        const drawing = await ask(page, "flow", { text });
        // What cannot be read is drawn as far as it goes, and edited as text alone.
        const unreadable = drawing.diagnostics.some((found) => /^TDM[12]/.test(found.code));
        for (const flow of drawing.flows.filter((one) => one.urn !== null && !unreadable)) {
          const names = flow.nodes.map((node) => node.name.toLowerCase());
          for (const node of flow.nodes.filter((one) => one.position === null)) {
            // Steps of one name cannot be told apart.
            if (node.name.trim() === "" || names.filter((name) => name === node.name.toLowerCase()).length > 1)
              continue;
            if (node.kind === "clock" || node.kind === "event") continue;
            const edits = [{ op: "move", flow: flow.urn, node: node.name, x: 11, y: -7.5 }];
            const answer = await ask(page, "edit", { text, edits });
            assert.equal(answer.error, undefined, `${file}, ${title}: ${node.name}`);
            assert.equal(answer.text.replace(POSITION, ""), text, `${file}, ${title}: ${node.name}`);
            moved += 1;
          }
        }
      }
    }
    assert.ok(moved > 20, `${moved} steps were moved`);
  });
});
