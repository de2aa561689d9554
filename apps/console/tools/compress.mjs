// Writes a .gz and a .br beside every built file worth it, and fails when the first load has grown past its budget.
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { brotliCompressSync, constants, gzipSync } from "node:zlib";

const FIRST_LOAD_BUDGET = 500_000;
const root = new URL("../dist/", import.meta.url).pathname;
const sizes = new Map();
for (const entry of readdirSync(root, { recursive: true, withFileTypes: true })) {
  if (!entry.isFile() || !/\.(js|css|html|svg|json)$/.test(entry.name)) continue;
  const path = join(entry.parentPath, entry.name);
  const bytes = readFileSync(path);
  const gz = gzipSync(bytes, { level: 9 });
  writeFileSync(`${path}.gz`, gz);
  writeFileSync(
    `${path}.br`,
    brotliCompressSync(bytes, {
      params: { [constants.BROTLI_PARAM_QUALITY]: 11, [constants.BROTLI_PARAM_SIZE_HINT]: bytes.length },
    }),
  );
  sizes.set(path.slice(root.length), gz.length);
}

const html = readFileSync(join(root, "index.html"), "utf8");
const first = [...html.matchAll(/(?:src|href)="\/console\/([^"]+)"/g)].map((match) => match[1]);
const total = first.reduce((sum, path) => sum + (sizes.get(path) ?? 0), sizes.get("index.html"));
console.log(
  `first load ${(total / 1000).toFixed(1)} kB gzip (${first.length} files), all ${(
    [...sizes.values()].reduce((sum, size) => sum + size, 0) / 1000
  ).toFixed(1)} kB`,
);
if (total > FIRST_LOAD_BUDGET) {
  console.error(`first load is over its budget of ${FIRST_LOAD_BUDGET} bytes`);
  process.exit(1);
}
