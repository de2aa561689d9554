// One open document of the designer: text, drawing and journal, and the order in which changes reach the server.
import type { Language } from "../tdm-editor/service.ts";
import type { Drawing, Edit, Flow } from "./drawing.ts";
import { flowKey } from "./drawing.ts";
import { Journal } from "./journal.ts";

export interface DocumentState {
  readonly text: string;
  /** Another one for each text: what answers about a text are kept under. */
  readonly stamp: string;
  /** The drawing of the newest text the server has seen; its offsets fit `drawnText`. */
  readonly drawing: Drawing | null;
  readonly drawnText: string;
  readonly journal: Journal;
  readonly savedText: string;
  /** A change is on its way. */
  readonly busy: boolean;
  /** What the last change that was refused answered. */
  readonly error: string | null;
  /** Which flow is on the canvas; null: the first. */
  readonly flow: string | null;
}

interface Job {
  readonly label: string;
  readonly key: string | null;
  readonly edits: readonly Edit[] | ((state: DocumentState) => readonly Edit[]);
  readonly done: (failure: Error | null) => void;
}

/** Text that is typed is drawn when the typing pauses this long. */
const TYPING_MS = 250;

let stamps = 0;
function stampOf(): string {
  stamps += 1;
  return `text ${stamps}`;
}

/** The flow on the canvas. */
export function currentFlow(state: DocumentState): Flow | null {
  const flows = state.drawing?.flows ?? [];
  return flows.find((flow) => flowKey(flow) === state.flow) ?? flows[0] ?? null;
}

/**
 * Drawn changes become edits that are sent one request at a time, several at once when they pile up; typed changes
 * replace the text at once. A typed change that overtakes an edit on its way makes that edit run again on the new text.
 */
export class DocumentSession {
  private state: DocumentState;
  private readonly listeners = new Set<() => void>();
  private readonly jobs: Job[] = [];
  private working = false;
  private timer: ReturnType<typeof setTimeout> | null = null;
  private reading: AbortController | null = null;
  private readonly language: Language;
  private readonly now: () => number;

  constructor(language: Language, text: string, now: () => number = Date.now) {
    this.language = language;
    this.now = now;
    this.state = {
      text,
      stamp: stampOf(),
      drawing: null,
      drawnText: "",
      journal: Journal.EMPTY,
      savedText: text,
      busy: false,
      error: null,
      flow: null,
    };
  }

  /** Draws the text for the first time. */
  start(): void {
    if (this.state.drawing === null) void this.draw();
  }

  readonly subscribe = (listener: () => void): (() => void) => {
    this.listeners.add(listener);
    return () => void this.listeners.delete(listener);
  };

  readonly get = (): DocumentState => this.state;

  private set(change: Partial<DocumentState>): void {
    const stamp = change.text !== undefined && change.text !== this.state.text ? stampOf() : this.state.stamp;
    this.state = { ...this.state, ...change, stamp };
    for (const listener of this.listeners) listener();
  }

  /** Stops waiting for anything. */
  close(): void {
    if (this.timer !== null) clearTimeout(this.timer);
    this.reading?.abort();
  }

  /** Shows another flow of the text. */
  show(flow: string): void {
    this.set({ flow });
  }

  /** The text is what the server holds now. */
  saved(text: string = this.state.text): void {
    this.set({ savedText: text });
  }

  dismissError(): void {
    this.set({ error: null });
  }

  /** Changes the drawing; resolves when the text has changed, rejects with what the server answered. */
  edit(edits: Job["edits"], label: string, key: string | null = null): Promise<void> {
    return new Promise((resolve, reject) => {
      this.jobs.push({ label, key, edits, done: (failure) => (failure ? reject(failure) : resolve()) });
      void this.work();
    });
  }

  /** Replaces the text as somebody types it. */
  type(text: string, label = "Typing", key: string | null = "type"): void {
    if (text === this.state.text) return;
    const journal = this.state.journal.record(this.state.text, text, label, this.now(), key);
    this.set({ text, journal });
    if (this.timer !== null) clearTimeout(this.timer);
    this.timer = setTimeout(() => void this.draw(), TYPING_MS);
  }

  undo(): string | null {
    return this.travel(this.state.journal.undo(this.state.text));
  }

  redo(): string | null {
    return this.travel(this.state.journal.redo(this.state.text));
  }

  private travel(step: ReturnType<Journal["undo"]>): string | null {
    if (!step) return null;
    this.set({ text: step.text, journal: step.journal });
    void this.draw();
    return step.label;
  }

  /** Draws the text as it is. */
  private async draw(): Promise<void> {
    this.timer = null;
    this.reading?.abort();
    const reading = new AbortController();
    this.reading = reading;
    const { text } = this.state;
    try {
      const drawing = await this.language.flow(text, reading.signal);
      if (!reading.signal.aborted && this.state.text === text) this.set({ drawing, drawnText: text });
    } catch (failure) {
      if (!reading.signal.aborted) this.set({ error: told(failure) });
    }
  }

  private async work(): Promise<void> {
    if (this.working) return;
    this.working = true;
    this.set({ busy: true });
    while (this.jobs.length > 0) await this.run(this.jobs.splice(0, this.batch()));
    this.working = false;
    this.set({ busy: false });
  }

  /** Jobs with the same key at the head of the queue go together. */
  private batch(): number {
    const first = this.jobs[0];
    if (!first || first.key === null) return 1;
    const other = this.jobs.findIndex((job) => job.key !== first.key || typeof job.edits === "function");
    return Math.max(1, other === -1 ? this.jobs.length : other);
  }

  private async run(jobs: readonly Job[]): Promise<void> {
    const finish = (failure: Error | null) => {
      for (const job of jobs) job.done(failure);
    };
    for (;;) {
      const before = this.state.text;
      try {
        const edits = jobs.flatMap((job) => (typeof job.edits === "function" ? job.edits(this.state) : job.edits));
        if (edits.length === 0) return finish(null);
        const answer = await this.language.edit(before, edits);
        if (this.state.text !== before) continue;
        this.reading?.abort();
        const { label, key } = jobs[jobs.length - 1] ?? { label: "Change", key: null };
        const journal = this.state.journal.record(before, answer.text, label, this.now(), key);
        this.set({ text: answer.text, drawing: answer.drawing, drawnText: answer.text, journal, error: null });
        return finish(null);
      } catch (failure) {
        const error = failure instanceof Error ? failure : new Error(String(failure));
        this.set({ error: told(error) });
        // A refused change may have moved something on the canvas: what is drawn is what the text says.
        if (this.state.drawing) this.set({ drawing: { ...this.state.drawing } });
        return finish(error);
      }
    }
  }
}

function told(failure: unknown): string {
  return failure instanceof Error ? failure.message : String(failure);
}
