// `npm test`: types, lint, unit tests, browser tests; all of them run, the first failure decides the exit code.
import { spawnSync } from "node:child_process";
import { join } from "node:path";

const root = new URL("../", import.meta.url).pathname;
const reports = process.env.MARRAM_JUNIT_DIR;
const bin = (name) => join(root, "node_modules/.bin", name);
const junit = reports
  ? ["--reporter=default", "--reporter=junit", `--outputFile.junit=${join(reports, "console-unit.xml")}`]
  : [];
const steps = [
  ["types", bin("tsc"), ["--noEmit"]],
  ["lint", bin("biome"), ["check", "."]],
  ["unit tests", bin("vitest"), ["run", ...junit]],
  ["browser tests", process.execPath, ["tools/e2e.mjs"]],
];
let code = 0;
for (const [name, command, args] of steps) {
  const { status } = spawnSync(command, args, { cwd: root, stdio: "inherit" });
  if (status !== 0) console.error(`console: ${name} failed`);
  code ||= status ?? 1;
}
process.exit(code);
