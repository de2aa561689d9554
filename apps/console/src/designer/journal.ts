// Undo and redo: a journal of splices of the text, each the smallest that tells one change from the other.

export interface Splice {
  readonly at: number;
  readonly removed: string;
  readonly inserted: string;
}

interface Entry {
  readonly label: string;
  readonly splice: Splice;
  /** Changes with the same key that follow each other quickly are one. */
  readonly key: string | null;
  readonly time: number;
}

/** Changes of one kind within this time are undone together. */
const MERGE_MS = 1_000;
const MAX_ENTRIES = 500;

/** The one replacement that turns `before` into `after`; null when they are the same. Never splits a surrogate pair. */
export function spliceOf(before: string, after: string): Splice | null {
  if (before === after) return null;
  let head = 0;
  const shorter = Math.min(before.length, after.length);
  while (head < shorter && before.charCodeAt(head) === after.charCodeAt(head)) head += 1;
  if (head > 0 && isHigh(before.charCodeAt(head - 1))) head -= 1;
  let tail = 0;
  while (
    tail < shorter - head &&
    before.charCodeAt(before.length - 1 - tail) === after.charCodeAt(after.length - 1 - tail)
  )
    tail += 1;
  if (tail > 0 && isLow(before.charCodeAt(before.length - tail))) tail -= 1;
  return {
    at: head,
    removed: before.slice(head, before.length - tail),
    inserted: after.slice(head, after.length - tail),
  };
}

const isHigh = (unit: number) => unit >= 0xd800 && unit < 0xdc00;
const isLow = (unit: number) => unit >= 0xdc00 && unit < 0xe000;

/** `text` after the splice. */
export function apply(text: string, splice: Splice): string {
  return text.slice(0, splice.at) + splice.inserted + text.slice(splice.at + splice.removed.length);
}

/** The splice that takes another back. */
export function inverse(splice: Splice): Splice {
  return { at: splice.at, removed: splice.inserted, inserted: splice.removed };
}

/** What was done and what was taken back. Immutable, so that a page can compare journals by identity. */
export class Journal {
  static readonly EMPTY = new Journal([], []);
  private readonly done: readonly Entry[];
  private readonly undone: readonly Entry[];

  private constructor(done: readonly Entry[], undone: readonly Entry[]) {
    this.done = done;
    this.undone = undone;
  }

  /** Label of what undo would take back, or null. */
  get undoLabel(): string | null {
    return this.done.at(-1)?.label ?? null;
  }

  get redoLabel(): string | null {
    return this.undone.at(-1)?.label ?? null;
  }

  /** Remembers a change made at `time` (milliseconds); forgets what was taken back. */
  record(before: string, after: string, label: string, time: number, key: string | null = null): Journal {
    const last = this.done.at(-1);
    if (last && key !== null && last.key === key && time - last.time < MERGE_MS) {
      const whole = spliceOf(apply(before, inverse(last.splice)), after);
      const rest = this.done.slice(0, -1);
      return new Journal(whole ? [...rest, { label, splice: whole, key, time }] : rest, []);
    }
    const splice = spliceOf(before, after);
    if (!splice) return this;
    return new Journal([...this.done.slice(1 - MAX_ENTRIES), { label, splice, key, time }], []);
  }

  /** Takes the last change back; null when there is none or `text` is not what the journal knows. */
  undo(text: string): { text: string; label: string; journal: Journal } | null {
    const last = this.done.at(-1);
    if (!last || !fits(text, inverse(last.splice))) return null;
    const journal = new Journal(this.done.slice(0, -1), [...this.undone, { ...last, key: null }]);
    return { text: apply(text, inverse(last.splice)), label: last.label, journal };
  }

  /** Does the last undone change again. */
  redo(text: string): { text: string; label: string; journal: Journal } | null {
    const next = this.undone.at(-1);
    if (!next || !fits(text, next.splice)) return null;
    const journal = new Journal([...this.done, next], this.undone.slice(0, -1));
    return { text: apply(text, next.splice), label: next.label, journal };
  }
}

function fits(text: string, splice: Splice): boolean {
  return text.startsWith(splice.removed, splice.at);
}
