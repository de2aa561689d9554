// How steps stand, for the nodes that draw them: each node listens to its own step only.
import { createContext, useContext, useSyncExternalStore } from "react";
import type { RunView, StepView } from "./fold.ts";

/** Holds the run that is shown on a drawing; null: none, the drawing is edited. */
export class RunStore {
  private run: RunView | null = null;
  private readonly listeners = new Set<() => void>();

  readonly subscribe = (listener: () => void): (() => void) => {
    this.listeners.add(listener);
    return () => void this.listeners.delete(listener);
  };

  set(run: RunView | null): void {
    if (run === this.run) return;
    this.run = run;
    for (const listener of this.listeners) listener();
  }

  get(): RunView | null {
    return this.run;
  }

  step(name: string): StepView | null {
    return this.run?.steps.get(name.toLowerCase()) ?? null;
  }
}

export const RunContext = createContext(new RunStore());

/** How the step stands in the run that is shown; null while there is none or it has not begun. */
export function useStepView(name: string): StepView | null {
  const store = useContext(RunContext);
  return useSyncExternalStore(store.subscribe, () => store.step(name));
}

/** Whether a run is shown at all. */
export function useRunShown(): boolean {
  const store = useContext(RunContext);
  return useSyncExternalStore(store.subscribe, () => store.get() !== null);
}
