// Runs a drawn flow the simple way: one device answer after another, so that there is something to watch.

/** Messages `{at, type, payload}` of one execution; `answers` says what an action does: `{reply}`, `{fail}` or nothing. */
export function run(flow, { parameters = {}, trigger = "Manual", answers = () => ({}) }) {
  const messages = [];
  let at = 0;
  const say = (type, payload) => messages.push({ at, type, payload });
  say("START_FLOW_EXECUTION_TASK", { flowTemplateId: flow.urn, revision: 1, trigger, flowParams: parameters });
  say("EXECUTION_STARTED", { message: "Flow execution started", flowParams: parameters, templateId: flow.urn });
  const tokens = new Map();
  const queue = flow.nodes.filter((node) => node.start);
  const emit = (events) => {
    for (const event of events) {
      for (const node of flow.nodes) {
        const wanted = node.inEvent?.events ?? [];
        if (!wanted.includes(event)) continue;
        const have = tokens.get(node.name) ?? new Set();
        tokens.set(node.name, have.add(event));
        if (wanted.every((one) => have.has(one))) {
          tokens.delete(node.name);
          queue.push(node);
        }
      }
    }
  };
  for (let guard = 0; queue.length > 0 && guard < 500; guard += 1) {
    const node = queue.shift();
    const stepName = node.name;
    say("STEP_STARTED", { stepName, inEvents: node.inEvent?.events ?? [], activation: 1 });
    const failure =
      node.kind === "choice" ? choose(node, say, emit) : act(node, parameters, answers, say, (ms) => (at += ms));
    if (failure) {
      const caught =
        node.onError?.catches.findIndex(
          (one) => one.errorEquals.includes("States.ALL") || one.errorEquals.includes(failure.error),
        ) ?? -1;
      const clause = node.onError?.catches[caught];
      say("STEP_FAILED", {
        stepName,
        ...failure,
        ...(clause && { caughtBy: clause.name, outEvents: clause.raiseEvent }),
      });
      if (!clause) {
        say("EXECUTION_FAILED", { ...failure, stepName });
        return messages;
      }
      emit(clause.raiseEvent);
    } else if (node.kind !== "choice") {
      const events = node.outputs.find((output) => output.port === "success").events;
      say("STEP_SUCCEEDED", { stepName, outEvents: events });
      emit(events);
    }
  }
  say("EXECUTION_SUCCEEDED", { durationMs: at });
  return messages;
}

function choose(node, say, emit) {
  const rule = node.rules[0];
  say("ACTIVITY_SCHEDULED", { stepName: node.name, activity: "ChoiceActivity", attempt: 1, inputs: {} });
  say("ACTIVITY_SUCCEEDED", { stepName: node.name, rule: rule.name ?? rule.port, events: rule.events });
  say("STEP_SUCCEEDED", { stepName: node.name, outEvents: rule.events });
  emit(rule.events);
  return null;
}

function act(node, parameters, answers, say, wait) {
  const stepName = node.name;
  const inputs = Object.fromEntries((node.arguments ?? []).map((one) => [one.name, one.value]));
  const parameter = /^\$\{(\w+)\}$/.exec(String(node.deviceId?.value ?? ""))?.[1];
  const thingName = parameters[parameter] ?? parameter ?? null;
  const retry = node.onError?.retries[0];
  for (let attempt = 1; ; attempt += 1) {
    say("ACTIVITY_SCHEDULED", { stepName, activity: node.kind, attempt, inputs });
    say("ACTIVITY_STARTED", { stepName, attempt });
    say("THING_ACTION_TASK", {
      stepName,
      thingName,
      action: node.action,
      protocol: "MQTT",
      topic: `${thingName}/${node.action}`,
      request: inputs,
    });
    const answer = answers(node.action, thingName);
    if (!answer.fail) {
      wait(answer.after ?? 180);
      say("THING_ACTION_TASK_SUCCEEDED", { stepName, result: answer.reply ?? null, durationMs: 180 });
      say("ACTIVITY_SUCCEEDED", { stepName, ...(node.out && { out: node.out }), value: answer.reply ?? null });
      return null;
    }
    wait(answer.after ?? 400);
    const error = answer.fail;
    const again =
      retry &&
      attempt <= (retry.maxAttempts ?? 3) &&
      (retry.errorEquals.includes(error) || retry.errorEquals.includes("States.ALL"));
    const retryInMs = again ? 300 * attempt : undefined;
    const errorMessage = answer.message ?? `${thingName} did not answer ${node.action}`;
    say("ACTIVITY_FAILED", { stepName, error, errorMessage, ...(again && { retryInMs }) });
    if (!again) return { error, errorMessage };
    wait(retryInMs);
  }
}
