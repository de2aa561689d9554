// What the parts of the designer share: the open document, the flow on the canvas, and how to change it.
import { createContext, useContext, useEffect, useMemo, useSyncExternalStore } from "react";
import { language } from "../tdm-editor/service.ts";
import type { Desk } from "./desk.ts";
import type { Edit, Flow } from "./drawing.ts";
import { DocumentSession, type DocumentState } from "./session.ts";

export interface Designer {
  readonly state: DocumentState;
  /** What is drawn: flow, system or deployment. */
  readonly desk: Desk;
  readonly flow: Flow;
  /** Name of what is drawn in edits. */
  readonly key: string;
  readonly readOnly: boolean;
  /** Sends edits; failures are shown by the workbench. */
  readonly edit: (edits: readonly Edit[], label: string, mergeKey?: string) => Promise<boolean>;
  readonly select: (nodes: readonly string[], edge?: string | null) => void;
}

export const DesignerContext = createContext<Designer | null>(null);

export function useDesigner(): Designer {
  const found = useContext(DesignerContext);
  if (!found) throw new Error("useDesigner is used outside the designer");
  return found;
}

/** A document session that lives as long as the component, made anew when `document` changes identity. */
export function useDocumentSession(document: string): DocumentSession {
  const session = useMemo(() => new DocumentSession(language, document), [document]);
  useEffect(() => {
    session.start();
    return () => session.close();
  }, [session]);
  return session;
}

export function useDocument(session: DocumentSession): DocumentState {
  return useSyncExternalStore(session.subscribe, session.get);
}
