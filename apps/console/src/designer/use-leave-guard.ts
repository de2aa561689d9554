// Asks before a page with changes that are not saved is left.
import { useBlocker } from "@tanstack/react-router";

export function useLeaveGuard(unsaved: boolean, question: string): void {
  useBlocker({
    shouldBlockFn: ({ current, next }) => unsaved && current.pathname !== next.pathname && !window.confirm(question),
    enableBeforeUnload: () => unsaved,
  });
}
