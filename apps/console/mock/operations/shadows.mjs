// Shadows, retained messages and publishing, with the service's rules: merge, delta, versions.
import { Fault } from "../server.mjs";
import { base64 } from "../world.mjs";

const key = ({ thingName, shadowName }) => `${thingName}/${shadowName ?? ""}`;

function merge(into, change) {
  if (change === null || typeof change !== "object" || Array.isArray(change)) return change;
  const result = { ...(into !== null && typeof into === "object" && !Array.isArray(into) ? into : {}) };
  for (const [name, value] of Object.entries(change)) {
    if (value === null) delete result[name];
    else result[name] = merge(result[name], value);
  }
  return result;
}

function delta(desired, reported) {
  const result = {};
  for (const [name, value] of Object.entries(desired ?? {})) {
    const other = reported?.[name];
    if (JSON.stringify(value) === JSON.stringify(other)) continue;
    const both = [value, other].every((one) => one !== null && typeof one === "object" && !Array.isArray(one));
    result[name] = both ? delta(value, other) : value;
  }
  return result;
}

function document({ desired, reported, version, timestamp }) {
  const difference = delta(desired, reported);
  const state = { desired, reported, ...(Object.keys(difference).length > 0 && { delta: difference }) };
  return { payload: base64(JSON.stringify({ state, metadata: {}, version, timestamp: Math.round(timestamp) })) };
}

export const shadows = {
  "iot-data.GetThingShadow": [
    "iot:GetThingShadow",
    (input, { world }) => {
      const shadow = world.shadows.get(key(input));
      if (!shadow)
        throw new Fault(404, "ResourceNotFoundException", `No shadow exists with name: '${input.thingName}'`);
      return document(shadow);
    },
  ],
  "iot-data.UpdateThingShadow": [
    "iot:UpdateThingShadow",
    (input, { world }) => {
      const update = JSON.parse(Buffer.from(input.payload, "base64").toString());
      const shadow = world.shadows.get(key(input)) ?? { version: 0, desired: {}, reported: {} };
      if (update.version !== undefined && update.version !== shadow.version)
        throw new Fault(409, "ConflictException", "Version conflict");
      if (update.state?.desired !== undefined) shadow.desired = merge(shadow.desired, update.state.desired ?? {});
      if (update.state?.desired === null) shadow.desired = {};
      if (update.state?.reported !== undefined) shadow.reported = merge(shadow.reported, update.state.reported ?? {});
      shadow.version += 1;
      shadow.timestamp = Date.now() / 1000;
      world.shadows.set(key(input), shadow);
      return document(shadow);
    },
  ],
  "iot-data.DeleteThingShadow": [
    "iot:DeleteThingShadow",
    (input, { world }) => {
      if (!world.shadows.delete(key(input))) throw new Fault(404, "ResourceNotFoundException", "no such shadow");
      return { payload: base64("{}") };
    },
  ],
  "iot-data.ListNamedShadowsForThing": [
    "iot:ListNamedShadowsForThing",
    ({ thingName }, { world }) => ({
      results: [...world.shadows.keys()]
        .filter((one) => one.startsWith(`${thingName}/`) && !one.endsWith("/"))
        .map((one) => one.slice(thingName.length + 1)),
    }),
  ],
  "iot-data.Publish": [
    "iot:Publish",
    ({ topic, payload, qos, retain }, { world }) => {
      if (!topic || /[+#]/.test(topic))
        throw new Fault(400, "InvalidRequestException", "a topic must not hold wildcards", "topic");
      const message = { topic, payload: payload ?? "", qos: qos ?? 0, retained: false, at: Date.now() / 1000 };
      if (retain) world.retained.set(topic, message);
      for (const subscriber of world.subscribers) subscriber(message);
      return {};
    },
  ],
};
