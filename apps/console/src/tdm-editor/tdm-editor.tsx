// The TDM editor: CodeMirror in a shadow root (the policy of the pages forbids style elements), diagnostics, completion.
import {
  autocompletion,
  type CompletionContext,
  type CompletionResult,
  closeBrackets,
  closeBracketsKeymap,
  completionKeymap,
} from "@codemirror/autocomplete";
import { defaultKeymap, history, historyKeymap } from "@codemirror/commands";
import { bracketMatching, indentOnInput, indentUnit } from "@codemirror/language";
import { type Diagnostic as LintDiagnostic, lintGutter, lintKeymap, setDiagnostics } from "@codemirror/lint";
import { highlightSelectionMatches, search, searchKeymap } from "@codemirror/search";
import { Annotation, Compartment, EditorState, type Extension } from "@codemirror/state";
import {
  drawSelection,
  EditorView,
  highlightActiveLine,
  highlightActiveLineGutter,
  keymap,
  lineNumbers,
} from "@codemirror/view";
import { useEffect, useImperativeHandle, useRef } from "react";
import { spliceOf } from "../designer/journal.ts";
import { tdm } from "./language.ts";
import { complete, type Diagnostic } from "./service.ts";
import "./tdm.css";
import classes from "./tdm-editor.module.css";
import { editorTheme } from "./theme.ts";

export interface TdmEditorHandle {
  /** Selects a range, brings it into view and takes the focus. */
  reveal: (from: number, to: number) => void;
  /** Brings a range into view without taking the focus. */
  show: (from: number, to: number) => void;
}

export interface TdmEditorProps {
  value: string;
  label: string;
  onChange?: (text: string) => void;
  diagnostics?: readonly Diagnostic[];
  readOnly?: boolean;
  /** Called when the cursor is moved by hand. */
  onCursor?: (offset: number) => void;
  /** Undo and redo of the page; without them the editor keeps its own history. */
  onUndo?: () => void;
  onRedo?: () => void;
  onSave?: () => void;
  handle?: React.Ref<TdmEditorHandle>;
}

/** Marks changes that come from the page, not from the person typing. */
const fromPage = Annotation.define<boolean>();

async function completions(context: CompletionContext): Promise<CompletionResult | null> {
  if (!context.explicit && !context.matchBefore(/[\w.$@:/{"'(]$/)) return null;
  const asked = new AbortController();
  context.addEventListener("abort", () => asked.abort());
  try {
    const answer = await complete(context.state.doc.toString(), context.pos, asked.signal);
    const kinds = {
      urn: "class",
      keyword: "keyword",
      directive: "type",
      path: "variable",
      function: "function",
      property: "property",
    };
    return {
      from: answer.from,
      to: answer.to,
      filter: false,
      options: answer.items.map((item) => ({
        label: item.label,
        apply: item.insert,
        type: kinds[item.kind] ?? "text",
        ...(item.detail ? { detail: item.detail } : {}),
      })),
    };
  } catch {
    // Completion is help: without an answer there is none.
    return null;
  }
}

/**
 * Typing over a selection, done here: the browser would keep the look of what was selected in a style attribute, which
 * the policy of the pages refuses.
 */
const typeOverSelection = EditorView.domEventHandlers({
  beforeinput: (event, view) => {
    const { from, to, empty } = view.state.selection.main;
    if (event.inputType !== "insertText" || event.data === null || empty || view.composing || view.state.readOnly)
      return false;
    const text = event.data;
    const insert = () =>
      view.state.update(view.state.replaceSelection(text), { userEvent: "input.type", scrollIntoView: true });
    event.preventDefault();
    if (!view.state.facet(EditorView.inputHandler).some((handler) => handler(view, from, to, text, insert)))
      view.dispatch(insert());
    return true;
  },
});

/** Diagnostics as CodeMirror shows them; what lies outside the text (it changed meanwhile) is cut. */
export function lint(diagnostics: readonly Diagnostic[], length: number): LintDiagnostic[] {
  return diagnostics.map((found) => ({
    from: Math.min(found.from, length),
    to: Math.min(Math.max(found.to, found.from), length),
    severity: found.severity,
    message: found.message,
    renderMessage: () => {
      const box = document.createElement("div");
      const message = box.appendChild(document.createElement("div"));
      message.textContent = found.message;
      const code = message.appendChild(document.createElement("span"));
      code.className = "tdm-code";
      code.textContent = found.code;
      for (const line of [...(found.help ? [found.help] : []), ...found.notes.map((note) => note.message)]) {
        const help = box.appendChild(document.createElement("div"));
        help.className = "tdm-help";
        help.textContent = line;
      }
      return box;
    },
    actions: found.fix
      ? [
          {
            name: "Fix it",
            apply: (view: EditorView) => {
              if (found.fix)
                view.dispatch({ changes: { from: found.fix.from, to: found.fix.to, insert: found.fix.text } });
            },
          },
        ]
      : [],
  }));
}

export function TdmEditor(props: TdmEditorProps) {
  const host = useRef<HTMLDivElement>(null);
  const view = useRef<EditorView | null>(null);
  const latest = useRef(props);
  latest.current = props;
  const locked = useRef(new Compartment());
  // Texts that the page was told and has not given back yet: it renders later than a fast hand types.
  const told = useRef<string[]>([]);

  useEffect(() => {
    const box = host.current;
    if (!box) return;
    const root = box.shadowRoot ?? box.attachShadow({ mode: "open" });
    const run = (what: "onUndo" | "onRedo" | "onSave") => () => {
      const action = latest.current[what];
      action?.();
      return action !== undefined;
    };
    const own: Extension[] = latest.current.onUndo ? [] : [history(), keymap.of(historyKeymap)];
    const made = new EditorView({
      root,
      parent: root,
      state: EditorState.create({
        doc: latest.current.value,
        extensions: [
          keymap.of([
            { key: "Mod-z", run: run("onUndo") },
            { key: "Mod-y", mac: "Mod-Shift-z", run: run("onRedo") },
            { key: "Mod-Shift-z", run: run("onRedo") },
            { key: "Mod-s", run: run("onSave") },
          ]),
          own,
          lineNumbers(),
          lintGutter(),
          highlightActiveLine(),
          highlightActiveLineGutter(),
          drawSelection(),
          bracketMatching(),
          closeBrackets(),
          indentOnInput(),
          indentUnit.of("  "),
          highlightSelectionMatches(),
          search({ top: true }),
          autocompletion({ override: [completions], activateOnTypingDelay: 150 }),
          typeOverSelection,
          tdm(),
          editorTheme,
          keymap.of([...closeBracketsKeymap, ...completionKeymap, ...searchKeymap, ...lintKeymap, ...defaultKeymap]),
          EditorView.contentAttributes.of({
            "aria-label": latest.current.label,
            "aria-multiline": "true",
            tabindex: "0",
          }),
          locked.current.of(EditorState.readOnly.of(latest.current.readOnly === true)),
          EditorView.updateListener.of((update) => {
            const foreign = update.transactions.some((one) => one.annotation(fromPage));
            if (foreign) return;
            const { onChange } = latest.current;
            if (update.docChanged && onChange) {
              const text = update.state.doc.toString();
              told.current.push(text);
              onChange(text);
            } else if (update.selectionSet) latest.current.onCursor?.(update.state.selection.main.head);
          }),
        ],
      }),
    });
    view.current = made;
    return () => {
      view.current = null;
      made.destroy();
    };
  }, []);

  useEffect(() => {
    const editor = view.current;
    const echo = told.current.lastIndexOf(props.value);
    told.current.splice(0, echo < 0 ? told.current.length : echo + 1);
    // What was typed meanwhile stands in the editor already, and its own echo is under way.
    if (echo >= 0) return;
    const splice = editor && spliceOf(editor.state.doc.toString(), props.value);
    if (!editor || !splice) return;
    const { at, removed, inserted } = splice;
    editor.dispatch({
      changes: { from: at, to: at + removed.length, insert: inserted },
      annotations: fromPage.of(true),
    });
  }, [props.value]);

  const { diagnostics, readOnly } = props;
  useEffect(() => {
    const editor = view.current;
    if (editor && diagnostics)
      editor.dispatch(setDiagnostics(editor.state, lint(diagnostics, editor.state.doc.length)));
  }, [diagnostics]);

  useEffect(() => {
    view.current?.dispatch({ effects: locked.current.reconfigure(EditorState.readOnly.of(readOnly === true)) });
  }, [readOnly]);

  useImperativeHandle(props.handle, () => {
    const go = (from: number, to: number, focus: boolean) => {
      const editor = view.current;
      if (!editor) return;
      const length = editor.state.doc.length;
      const selection = { anchor: Math.min(from, length), head: Math.min(to, length) };
      const effects = EditorView.scrollIntoView(selection.anchor, { y: "center" });
      editor.dispatch({ selection, effects, annotations: fromPage.of(true) });
      if (focus) editor.focus();
    };
    return { reveal: (from, to) => go(from, to, true), show: (from, to) => go(from, to, false) };
  }, []);

  return <div ref={host} className={classes.host} data-testid="tdm-editor" />;
}
