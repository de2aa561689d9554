// Presigned URLs of the object store (AWS Signature Version 4 in the query), as an SDK makes them.
import { createHash, createHmac } from "node:crypto";

const SECONDS = 600;
const ALGORITHM = "AWS4-HMAC-SHA256";

const hmac = (key, text) => createHmac("sha256", key).update(text).digest();
const quoted = (text) =>
  encodeURIComponent(text).replace(/[!'()*]/g, (one) => `%${one.charCodeAt(0).toString(16).toUpperCase()}`);

/** A link that does `method` on `path` for whoever has it; `environment` is that of `marram env`. */
export function presign(environment, method, path, parameters = {}) {
  const url = new URL(path, environment.AWS_ENDPOINT_URL);
  const time = new Date().toISOString().replace(/[-:]|\.\d+/g, "");
  const scope = `${time.slice(0, 8)}/${environment.AWS_DEFAULT_REGION}/s3/aws4_request`;
  const query = Object.entries({
    ...parameters,
    "X-Amz-Algorithm": ALGORITHM,
    "X-Amz-Credential": `${environment.AWS_ACCESS_KEY_ID}/${scope}`,
    "X-Amz-Date": time,
    "X-Amz-Expires": String(SECONDS),
    "X-Amz-SignedHeaders": "host",
  })
    .map(([name, value]) => `${quoted(name)}=${quoted(value)}`)
    .sort()
    .join("&");
  const canonical = [method, url.pathname, query, `host:${url.host}\n`, "host", "UNSIGNED-PAYLOAD"].join("\n");
  const digest = createHash("sha256").update(canonical).digest("hex");
  const key = scope.split("/").reduce(hmac, `AWS4${environment.AWS_SECRET_ACCESS_KEY}`);
  const signature = hmac(key, [ALGORITHM, time, scope, digest].join("\n")).toString("hex");
  return `${url.origin}${url.pathname}?${query}&X-Amz-Signature=${signature}`;
}
