// The scripted server as a program: `node mock/main.mjs [port]`. Prints one JSON line with its address and the first-run link.
import { plant } from "./graph/plant.mjs";
import { startMock } from "./server.mjs";

const mock = await startMock({ port: Number(process.argv[2] ?? 0), ...plant() });
console.log(JSON.stringify({ console: mock.url, welcome: mock.welcome, readOnly: mock.readOnly }));
