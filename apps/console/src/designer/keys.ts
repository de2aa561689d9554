// Keys of the designer, wherever the focus is, except in fields where they mean something else.
import { useEffect, useRef } from "react";

export interface WorkbenchKeys {
  undo: () => void;
  redo: () => void;
  save: () => void;
  /** Text for the clipboard; null when nothing is chosen. */
  copy: () => string | null;
  /** Whether the text was taken. */
  paste: (text: string) => Promise<boolean>;
  cut: () => void;
  fit: () => void;
  tidy: () => void;
  find: () => void;
  simulate: () => void;
}

function isField(target: EventTarget | null): boolean {
  if (!(target instanceof HTMLElement)) return false;
  // The text editor lives in a shadow root: its host is what the document sees.
  return target.isContentEditable || target.shadowRoot !== null || /^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName);
}

export function useWorkbenchKeys(keys: WorkbenchKeys): void {
  const latest = useRef(keys);
  latest.current = keys;
  useEffect(() => {
    const pressed = (event: KeyboardEvent) => {
      const command = event.ctrlKey || event.metaKey;
      const key = event.key.toLowerCase();
      const act = (what: () => void) => {
        event.preventDefault();
        what();
      };
      if (document.querySelector("[role=dialog]")) return;
      if (command && key === "s") return act(latest.current.save);
      if (isField(event.target)) return;
      if (command && key === "z") return act(event.shiftKey ? latest.current.redo : latest.current.undo);
      if (command && key === "y") return act(latest.current.redo);
      if (command || event.altKey) return;
      if (key === "/") return act(latest.current.find);
      if (key === "f") return act(latest.current.fit);
      if (key === "l") return act(latest.current.tidy);
      if (key === "r") return act(latest.current.simulate);
    };
    const copying = (event: ClipboardEvent) => {
      if (isField(event.target) || window.getSelection()?.isCollapsed === false) return;
      const text = latest.current.copy();
      if (text === null || !event.clipboardData) return;
      event.preventDefault();
      event.clipboardData.setData("text/plain", text);
      if (event.type === "cut") latest.current.cut();
    };
    const pasting = (event: ClipboardEvent) => {
      if (isField(event.target)) return;
      const text = event.clipboardData?.getData("text/plain") ?? "";
      if (text !== "") void latest.current.paste(text);
    };
    window.addEventListener("keydown", pressed);
    document.addEventListener("copy", copying);
    document.addEventListener("cut", copying);
    document.addEventListener("paste", pasting);
    return () => {
      window.removeEventListener("keydown", pressed);
      document.removeEventListener("copy", copying);
      document.removeEventListener("cut", copying);
      document.removeEventListener("paste", pasting);
    };
  }, []);
}
