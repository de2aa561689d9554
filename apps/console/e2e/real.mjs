// A real Marram for the tests: the one of MARRAM_CONSOLE_URL, or one that is started from MARRAM_BIN and ends with the test.
import { spawn } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";

const START_MILLIS = 180_000;

export const given = process.env.MARRAM_CONSOLE_URL;
export const program = process.env.MARRAM_BIN;

/** Whether a core can be started beside it: the program is built into the same folder. */
export const coreProgram = program && existsSync(join(dirname(program), "marram-core"));

/**
 * Answers `{welcome, stop, environment}`; the environment is that of `marram env`, if it is known. The data directory is temporary. With `demo` the example flows and their devices run, with
 * `core` a core as well.
 */
export async function startMarram({ demo = false, core = false } = {}) {
  if (given) return { welcome: given, stop: async () => {}, environment: null };
  const data = mkdtempSync(join(tmpdir(), "marram-console-"));
  const ports = ["--api", "--device-api", "--mqtt"].flatMap((flag) => [flag, "127.0.0.1:0"]);
  const child = spawn(
    program,
    ["up", "--data", data, ...ports, ...(core ? [] : ["--no-core"]), ...(demo ? [] : ["--no-demo"])],
    {
      stdio: ["ignore", "pipe", "pipe"],
    },
  );
  let words = "";
  child.stderr.on("data", (part) => {
    words = (words + part).slice(-4_000);
  });
  const over = new Promise((done) => child.on("exit", done));
  const ready = new Promise((done, fail) => {
    child.stdout.once("data", done);
    over.then((code) => fail(new Error(`marram ended with ${code}: ${words}`)));
    setTimeout(() => fail(new Error(`marram is not ready: ${words}`)), START_MILLIS).unref();
  });
  const stop = async () => {
    child.kill("SIGTERM");
    await over;
    rmSync(data, { recursive: true, force: true });
  };
  try {
    await ready;
    const environment = JSON.parse(readFileSync(join(data, "env.json"), "utf8"));
    return { welcome: environment.MARRAM_CONSOLE_URL, stop, environment };
  } catch (error) {
    await stop();
    throw error;
  }
}
