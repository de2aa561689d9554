// The language service of the scripted server: drawing, edits, simulation, for well-meant texts.
import { Fault } from "../server.mjs";
import { drawing } from "./draw.mjs";
import { edited } from "./edit.mjs";
import { run } from "./run.mjs";

export function routes(known) {
  const answer = (document) => {
    const drawn = drawing(document, known);
    return { text: document, drawing: drawn, diagnostics: drawn.diagnostics };
  };
  return {
    "tdm/check": (input) => ({ diagnostics: drawing(input.text, known).diagnostics }),
    "tdm/flow": (input) => drawing(input.text, known),
    "tdm/edit": (input) => answer(edited(input.text, input.edits, known)),
    "tdm/format": (input) => ({ text: `${input.text.trim()}\n` }),
    "tdm/complete": ({ text: document, offset }) => {
      const word = /[\w]*$/.exec(document.slice(0, offset))[0];
      const words = ["type", "query", "enum", "step", "DeviceActivity", "ChoiceActivity", "OnError"].filter((one) =>
        one.toLowerCase().startsWith(word.toLowerCase()),
      );
      return {
        from: offset - word.length,
        to: offset,
        items: words.map((one) => ({ label: one, kind: "keyword", insert: one })),
      };
    },
    "tdm/scope": ({ text: document, flow: name, expression = "" }) => {
      const flow = drawing(document, known).flows.find((one) => one.urn === name || one.name === name);
      const names = [...(flow?.parameters ?? []), ...(flow?.variables ?? [])].map((one) => ({
        path: one.name,
        type: one.type ?? "Json",
      }));
      for (const node of flow?.nodes ?? [])
        if (node.out && !names.some((one) => one.path === node.out))
          names.push({ path: node.out, type: node.returns ?? "Json" });
      names.push({ path: "systemConfig.awsRegion", type: "String" });
      const wrong = /\bnobody\b/.exec(expression);
      return {
        names,
        functions: [{ path: "tdm.lib.Math.abs", arguments: [1, 1] }],
        ...(wrong && { error: { message: "unknown name `nobody`", from: wrong.index, to: wrong.index + 6 } }),
      };
    },
    "tdm/simulate": ({ text: document, flow: name, events }) => {
      const flow = drawing(document, known).flows.find((one) => one.urn === name || one.name === name);
      if (!flow) throw new Fault(400, "ValidationException", "no such flow", "flow");
      const lines = typeof events === "string" ? script(events) : (events ?? madeUp(flow));
      const start = lines.find((line) => line.start)?.start ?? {};
      const used = new Map();
      const answers = (action) => {
        const fitting = lines.filter((line) => line.on === action);
        const at = used.get(action) ?? 0;
        used.set(action, at + 1);
        const line = fitting[Math.min(at, fitting.length - 1)] ?? {};
        return line.silent ? { fail: "TG.Timeout", after: 60_000 } : line;
      };
      const messages = run(flow, { parameters: start, answers });
      const timeline = messages.map(({ at, type, payload }) => ({
        at_ms: at,
        kind: type,
        execution: 1,
        step: payload.stepName ?? null,
        detail: payload,
      }));
      const last = messages.at(-1).type.replace("EXECUTION_", "");
      return {
        timeline,
        outcome: { status: last, executions: [{ id: "1", trigger: "Manual", status: last }], truncated: false },
        script: lines,
        diagnostics: [],
      };
    },
  };
}

function script(lines) {
  try {
    return lines
      .split("\n")
      .filter((line) => line.trim() !== "" && !line.trim().startsWith("#"))
      .map((line) => JSON.parse(line));
  } catch (error) {
    throw new Fault(400, "ValidationException", `the script cannot be read: ${error.message}`, "events");
  }
}

function madeUp(flow) {
  const things = flow.parameters
    .filter((one) => /string/i.test(one.type))
    .map((one) => ({ thing: `${one.name}-1`, role: one.name }));
  const start = Object.fromEntries(things.map((one) => [one.role, one.thing]));
  const actions = [...new Set(flow.nodes.flatMap((node) => node.action ?? []))];
  return [...things, { at: 0, start }, ...actions.map((on) => ({ on, after: 120, reply: {} }))];
}
