// Runs the browser tests, after a build when the pages are older than their sources. JUnit to MARRAM_JUNIT_DIR when set.
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, statSync } from "node:fs";
import { join } from "node:path";

const root = new URL("../", import.meta.url).pathname;
const newest = (folder) =>
  readdirSync(join(root, folder), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .reduce((latest, entry) => Math.max(latest, statSync(join(entry.parentPath, entry.name)).mtimeMs), 0);
const run = (command, args) => {
  const { status } = spawnSync(command, args, { cwd: root, stdio: "inherit" });
  if (status !== 0) process.exit(status ?? 1);
};

const built = existsSync(join(root, "dist/index.html")) ? statSync(join(root, "dist/index.html")).mtimeMs : 0;
const sources = Math.max(
  newest("src"),
  newest("public"),
  ...["index.html", "vite.config.ts", "package-lock.json"].map((name) => statSync(join(root, name)).mtimeMs),
);
if (built < sources) run("npm", ["run", "--silent", "build"]);

const reports = process.env.MARRAM_JUNIT_DIR;
if (reports) mkdirSync(reports, { recursive: true });
const files = process.argv.slice(2);
const tests =
  files.length > 0
    ? files
    : readdirSync(join(root, "e2e"))
        .filter((name) => name.endsWith(".test.mjs"))
        .map((name) => `e2e/${name}`);
run(process.execPath, [
  "--test",
  "--test-concurrency=2",
  "--test-reporter=spec",
  "--test-reporter-destination=stdout",
  ...(reports ? ["--test-reporter=junit", `--test-reporter-destination=${join(reports, "console-e2e.xml")}`] : []),
  ...tests,
]);
