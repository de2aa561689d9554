// Two texts side by side in one column: what goes, what comes, what stays.
import { useMemo } from "react";
import { diffLines, type Line } from "./diff.ts";
import classes from "./diff-view.module.css";

/** Unchanged lines shown around a change. */
const CONTEXT = 3;
const SIGNS = { same: " ", added: "+", removed: "−" } as const;
const SPOKEN = { same: "", added: "added: ", removed: "removed: " } as const;

export function DiffView({ before, after }: { before: string; after: string }) {
  const rows = useMemo(() => near(diffLines(before, after)), [before, after]);
  if (rows.length === 0) return <p className={classes.none}>No difference.</p>;
  return (
    <ol className={classes.diff} aria-label="Differences">
      {rows.map((row) =>
        row.line ? (
          <li key={row.at} data-kind={row.line.kind}>
            <span className={classes.sign} aria-hidden>
              {SIGNS[row.line.kind]}
            </span>
            <span className={classes.spoken}>{SPOKEN[row.line.kind]}</span>
            <code>{row.line.text}</code>
          </li>
        ) : (
          <li key={row.at} className={classes.gap}>
            …
          </li>
        ),
      )}
    </ol>
  );
}

function near(lines: readonly Line[]): { at: number; line: Line | null }[] {
  const changed = lines.flatMap((line, index) => (line.kind === "same" ? [] : [index]));
  const rows: { at: number; line: Line | null }[] = [];
  let last = -1;
  for (const [at, line] of lines.entries()) {
    if (!changed.some((index) => Math.abs(index - at) <= CONTEXT)) continue;
    if (last !== -1 && at > last + 1) rows.push({ at: at - 0.5, line: null });
    rows.push({ at, line });
    last = at;
  }
  return rows;
}
