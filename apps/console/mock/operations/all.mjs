// The scripted operations: `service.Operation` to its IAM action and what it does.
import { greengrass } from "./greengrass.mjs";
import { iot } from "./iot.mjs";
import { rest } from "./rest.mjs";
import { shadows } from "./shadows.mjs";

export const operations = { ...iot, ...shadows, ...greengrass, ...rest };
