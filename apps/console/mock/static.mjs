// The built pages with the headers the real server sends; any address without a file extension is the one page.
import { existsSync, readFileSync } from "node:fs";
import { extname, join, normalize } from "node:path";

const DIST = new URL("../dist/", import.meta.url).pathname;
const TYPES = {
  ".js": "text/javascript",
  ".css": "text/css",
  ".svg": "image/svg+xml",
  ".html": "text/html; charset=utf-8",
};

/** Exactly the policy of README.md. */
export const CSP = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self'",
  "font-src 'none'",
  "connect-src 'self'",
  "form-action 'none'",
  "base-uri 'none'",
  "frame-ancestors 'none'",
  "require-trusted-types-for 'script'",
  "trusted-types 'none'",
].join("; ");

export function serveStatic(pathname, request, response) {
  const inside = normalize(pathname.replace(/^\/console\/?/, "")).replace(/^(\.\.(\/|$))+/, "");
  const asset = inside.startsWith("assets/");
  const file = join(DIST, asset ? inside : "index.html");
  if (!pathname.startsWith("/console") || !existsSync(file)) return response.writeHead(404).end();
  const compressed = /\bgzip\b/.test(request.headers["accept-encoding"] ?? "") && existsSync(`${file}.gz`);
  response.writeHead(200, {
    "content-type": TYPES[extname(file)] ?? "application/octet-stream",
    "cache-control": asset ? "public, max-age=31536000, immutable" : "no-cache",
    "content-security-policy": CSP,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    ...(compressed && { "content-encoding": "gzip" }),
  });
  response.end(readFileSync(compressed ? `${file}.gz` : file));
}
