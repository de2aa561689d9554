// Look of the TDM editor: made of custom properties, adopted by the shadow root it lives in.
import { EditorView } from "@codemirror/view";

const mono = "var(--mantine-font-family-monospace)";

export const editorTheme = EditorView.theme({
  "&": { height: "100%", color: "var(--tdm-text)", backgroundColor: "var(--marram-surface)", fontSize: "12.5px" },
  "&.cm-focused": { outline: "none" },
  ".cm-scroller": { fontFamily: mono, lineHeight: "1.6", overflow: "auto" },
  ".cm-content": { caretColor: "var(--tdm-text)", padding: "8px 0" },
  ".cm-cursor": { borderLeftColor: "var(--tdm-text)", borderLeftWidth: "2px" },
  "&.cm-focused > .cm-scroller > .cm-selectionLayer .cm-selectionBackground, .cm-selectionBackground": {
    backgroundColor: "var(--tdm-selection)",
  },
  ".cm-activeLine": { backgroundColor: "transparent" },
  "&.cm-focused .cm-activeLine": { backgroundColor: "var(--tdm-line)" },
  ".cm-gutters": { backgroundColor: "var(--marram-surface)", color: "var(--marram-faint)", border: "none" },
  ".cm-activeLineGutter": { backgroundColor: "transparent", color: "var(--tdm-text)" },
  ".cm-lineNumbers .cm-gutterElement": { padding: "0 6px 0 10px", minWidth: "28px" },
  ".cm-searchMatch": { backgroundColor: "var(--tdm-match)" },
  "&.cm-focused .cm-matchingBracket": { backgroundColor: "var(--tdm-selection)", outline: "none" },
  ".cm-lintRange-error": { backgroundImage: "none", borderBottom: "2px solid var(--tdm-invalid)" },
  ".cm-lintRange-warning": { backgroundImage: "none", borderBottom: "2px dashed var(--marram-warn)" },
  ".cm-lint-marker": { content: "none", width: "9px", height: "9px", borderRadius: "50%", margin: "6px 2px" },
  ".cm-lint-marker-error": { content: "none", backgroundColor: "var(--tdm-invalid)" },
  ".cm-lint-marker-warning": { content: "none", backgroundColor: "var(--marram-warn)", borderRadius: "2px" },
  ".cm-tooltip": {
    backgroundColor: "var(--marram-surface)",
    color: "var(--tdm-text)",
    border: "1px solid var(--marram-line-strong)",
    borderRadius: "8px",
    boxShadow: "0 6px 24px rgb(0 0 0 / 16%)",
    overflow: "hidden",
    fontFamily: "var(--mantine-font-family)",
    fontSize: "12.5px",
    maxWidth: "460px",
  },
  ".cm-diagnostic": { padding: "8px 12px", borderLeft: "none" },
  ".cm-diagnostic-error": { borderLeft: "3px solid var(--tdm-invalid)" },
  ".cm-diagnostic-warning": { borderLeft: "3px solid var(--marram-warn)" },
  ".cm-diagnosticAction": {
    backgroundColor: "var(--mantine-primary-color-filled)",
    color: "var(--mantine-primary-color-contrast)",
    borderRadius: "4px",
    padding: "2px 8px",
  },
  ".tdm-help": { marginTop: "4px", color: "var(--marram-faint)" },
  ".tdm-code": { fontFamily: mono, fontSize: "11px", color: "var(--marram-faint)", marginLeft: "8px" },
  ".cm-tooltip.cm-tooltip-autocomplete > ul": { fontFamily: mono, maxHeight: "16em" },
  ".cm-tooltip-autocomplete ul li[aria-selected]": {
    backgroundColor: "var(--mantine-primary-color-filled)",
    color: "var(--mantine-primary-color-contrast)",
  },
  ".cm-completionDetail": { fontStyle: "normal", opacity: "0.75", marginLeft: "1em" },
  ".cm-panels": {
    backgroundColor: "var(--marram-sunken)",
    color: "var(--tdm-text)",
    borderColor: "var(--marram-line)",
  },
  ".cm-textfield, .cm-button": {
    backgroundColor: "var(--marram-surface)",
    backgroundImage: "none",
    color: "var(--tdm-text)",
    border: "1px solid var(--marram-line-strong)",
    borderRadius: "4px",
  },
});
