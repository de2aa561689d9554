// The console's own parser of TDM, so that the scripted server needs no second one.
import { runnerImport } from "vite";

const load = (path) =>
  runnerImport(new URL(`../../src/${path}`, import.meta.url).pathname, { configFile: false, logLevel: "error" });
export const { module: parser } = await load("tdm-editor/parse.ts");
export const { module: lexer } = await load("tdm-editor/lexer.ts");
