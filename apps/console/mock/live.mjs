// Server-sent events: messages as they are published, and a plant that talks by itself.
import { denied } from "./server.mjs";
import { allows } from "./session.mjs";
import { base64 } from "./world.mjs";

/** Whether an MQTT filter takes a topic. */
export function matches(filter, topic) {
  const [want, have] = [filter.split("/"), topic.split("/")];
  for (let level = 0; level < want.length; level += 1) {
    if (want[level] === "#") return true;
    if (have[level] === undefined || (want[level] !== "+" && want[level] !== have[level])) return false;
  }
  return want.length === have.length;
}

export function serveStream(world, kind, search, person, response, streams, executions = () => () => {}) {
  const action = kind === "mqtt" ? "iot:Subscribe" : "iotthingsgraph:SearchFlowExecutions";
  if (!allows(person, action)) throw denied(action);
  response.writeHead(200, { "content-type": "text/event-stream", "cache-control": "no-store" });
  const send = (event, data) => response.write(`event: ${event}\ndata: ${JSON.stringify(data)}\n\n`);
  streams.add(response);
  send("ready", {});
  const heartbeat = setInterval(() => response.write(": heartbeat\n\n"), 15_000);
  const stop = kind === "mqtt" ? mqtt(world, search.get("filter") ?? "#", send) : executions(search, send);
  response.on("close", () => {
    clearInterval(heartbeat);
    streams.delete(response);
    stop();
  });
}

function mqtt(world, filter, send) {
  const listen = (message) => matches(filter, message.topic) && send("message", message);
  for (const message of world.retained.values()) listen({ ...message, retained: true });
  world.subscribers.add(listen);
  let tick = 0;
  const plant = setInterval(() => {
    tick += 1;
    const payload = base64(JSON.stringify({ celsius: 60 + Math.round(10 * Math.sin(tick / 5)) / 10, tick }));
    listen({
      topic: `plant/1/press-00000${tick % 3}/temperature`,
      payload,
      qos: 0,
      retained: false,
      at: Date.now() / 1000,
    });
  }, 700);
  return () => {
    clearInterval(plant);
    world.subscribers.delete(listen);
  };
}
