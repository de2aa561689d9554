// The designer at work: palette, canvas, inspector, text, problems and simulation around one open document.
import { Alert, Button, Group, SegmentedControl, Tabs, Text } from "@mantine/core";
import { readLocalStorageValue, useLocalStorage } from "@mantine/hooks";
import { notifications } from "@mantine/notifications";
import { CircleAlert, FlaskConical, Workflow } from "lucide-react";
import { type ReactNode, useCallback, useMemo, useRef, useState } from "react";
import { RunContext, RunStore } from "../live/run-store.ts";
import { format } from "../tdm-editor/service.ts";
import { TdmEditor, type TdmEditorHandle } from "../tdm-editor/tdm-editor.tsx";
import { Canvas, type CanvasHandle, NOTHING, type Selection } from "./canvas.tsx";
import { copy, paste, read } from "./clipboard.ts";
import { type Designer, DesignerContext, useDocument } from "./context.ts";
import { type Desk, FLOW_DESK, moveEdit } from "./desk.ts";
import { type Edit, type Flow, type FlowNode, flowKey, nodeId, type Point } from "./drawing.ts";
import { Inspector, type InspectorProps } from "./inspector.tsx";
import { useWorkbenchKeys } from "./keys.ts";
import { arrange, freeSpot } from "./layout.ts";
import type { PaletteEntry } from "./palette.ts";
import { PalettePanel } from "./palette-panel.tsx";
import { ProblemsPanel } from "./problems-panel.tsx";
import type { DocumentSession } from "./session.ts";
import { SimulatePanel } from "./simulate-panel.tsx";
import { Tools } from "./tools.tsx";
import classes from "./workbench.module.css";

export type View = "draw" | "split" | "text";
type Panel = "problems" | "simulate";
const EMPTY_FLOW: Flow = {
  urn: null,
  name: "",
  description: null,
  parameters: [],
  variables: [],
  events: [],
  nodes: [],
  edges: [],
  from: 0,
  to: 0,
};

export interface Palette {
  readonly entries: readonly PaletteEntry[];
  readonly isPending: boolean;
  readonly error: unknown;
}

export interface WorkbenchProps {
  session: DocumentSession;
  /** What of the text is drawn. */
  desk?: Desk;
  palette: Palette;
  /** What else a person can see about what is chosen, beside the drawing. */
  inspector?: (chosen: InspectorProps) => ReactNode;
  /** What stands left in the bar above: where this flow belongs. */
  title: ReactNode;
  /** What can be done with the whole: save, deploy. */
  actions: ReactNode;
  onSave: () => void;
}

export function Workbench({
  session,
  desk = FLOW_DESK,
  palette,
  inspector = (chosen) => <Inspector {...chosen} />,
  title,
  actions,
  onSave,
}: WorkbenchProps) {
  const state = useDocument(session);
  const flow = desk.subject(state.drawing, state.flow);
  const shown = flow ?? EMPTY_FLOW;
  const key = flowKey(shown);
  const [view, setView] = useLocalStorage<View>({
    key: "marram-designer-view",
    defaultValue: storedView(),
    getInitialValueInEffect: false,
  });
  const [selection, setSelection] = useState<Selection>(NOTHING);
  const [panel, setPanel] = useState<Panel | null>(null);
  const [formatting, setFormatting] = useState(false);
  const [run] = useState(() => new RunStore());
  const canvas = useRef<CanvasHandle>(null);
  const editor = useRef<TdmEditorHandle>(null);
  const finder = useRef<HTMLInputElement>(null);
  const entries = useMemo(
    () => palette.entries.filter((entry) => desk.palette.has(entry.kind)),
    [palette.entries, desk],
  );
  const diagnostics = state.drawing?.diagnostics ?? [];
  const readOnly = flow === null;

  const edit = useCallback(
    async (edits: readonly Edit[], label: string, mergeKey: string | null = null) => {
      try {
        await session.edit(edits, label, mergeKey);
        return true;
      } catch {
        // The session keeps what went wrong; it is shown above the canvas.
        return false;
      }
    },
    [session],
  );
  const select = useCallback((names: readonly string[], edge: string | null = null) => {
    canvas.current?.select(new Set(names), edge);
    setSelection({ nodes: new Set(names), edge });
  }, []);
  const designer = useMemo<Designer>(
    () => ({
      state,
      desk,
      flow: shown,
      key,
      readOnly,
      edit: (edits, label, mergeKey) => edit(edits, label, mergeKey ?? null),
      select,
    }),
    [state, desk, shown, key, readOnly, edit, select],
  );

  const byId = useMemo(() => new Map(shown.nodes.map((node) => [nodeId(node), node])), [shown]);
  const picked = useCallback(
    (next: Selection) => {
      setSelection((before) => (sameSelection(before, next) ? before : next));
      const [only] = next.nodes.size === 1 ? next.nodes : [];
      const node = only === undefined ? undefined : byId.get(only);
      const range = node ?? shown.edges.find((one) => one.id === next.edge);
      if (range && view === "split") editor.current?.show(range.from, range.from);
    },
    [shown, byId, view],
  );
  const nodesOf = (ids: Iterable<string>): FlowNode[] =>
    [...ids].flatMap((id) => {
      const node = byId.get(id);
      return node ? [node] : [];
    });
  const movesOf = (moves: Iterable<{ id: string; at: Point }>): Edit[] =>
    [...moves].flatMap(({ id, at }) => {
      const node = byId.get(id);
      const made = node && moveEdit(desk, key, node, at);
      return made ? [made] : [];
    });
  const add = async (entry: PaletteEntry, at?: Point) => {
    if (readOnly) return;
    const after = selection.nodes.size === 1 ? ([...selection.nodes][0] ?? null) : null;
    const spot = at ?? freeSpot(canvas.current?.positions() ?? new Map(), after);
    const made = desk.add(key, shown, entry, spot);
    if (!made || !(await edit([made], `Add ${entry.title}`))) return;
    const { drawing, flow: wanted } = session.get();
    const added = desk.subject(drawing, wanted)?.nodes.find((node) => !byId.has(nodeId(node)));
    if (added) {
      select([nodeId(added)]);
      if (!at) canvas.current?.fit();
    }
  };
  const removed = async (ids: readonly string[], edges: readonly string[]) => {
    const nodes = nodesOf(ids);
    const edits: Edit[] = [
      ...edges.map((edge): Edit => ({ op: "disconnect", flow: key, edge })),
      ...nodes.map((node) => desk.remove(key, node)),
    ];
    const what =
      nodes.length === 1 ? `“${nodes[0]?.name}”` : nodes.length > 1 ? `${nodes.length} steps` : "a connection";
    if (edits.length > 0 && (await edit(edits, `Remove ${what}`))) select([]);
  };
  const tidy = () => {
    const edits = movesOf([...arrange(shown)].map(([id, at]) => ({ id, at })));
    if (edits.length > 0) void edit(edits, "Tidy up").then(() => canvas.current?.fit());
  };
  const copied = useCallback(() => {
    if (desk.kind !== "flow") return null;
    const made = copy(shown, selection.nodes, canvas.current?.positions() ?? new Map());
    return made ? JSON.stringify(made) : null;
  }, [desk, shown, selection]);
  const pasted = async (text: string) => {
    const steps = read(text);
    if (!steps || desk.kind !== "flow") return false;
    const { edits, names } = paste(steps, shown, key);
    if (await edit(edits, `Paste ${names.length === 1 ? `“${names[0]}”` : `${names.length} steps`}`)) select(names);
    return true;
  };
  const duplicate = () => {
    const text = copied();
    if (text) void pasted(text);
  };
  const undo = () => session.undo();
  const redo = () => session.redo();
  const reformat = async () => {
    setFormatting(true);
    try {
      session.type(await format(session.get().text), "Format", null);
    } catch (failure) {
      notifications.show({
        color: "red",
        title: "This text cannot be formatted",
        message: failure instanceof Error ? failure.message : String(failure),
      });
    } finally {
      setFormatting(false);
    }
  };
  const holder = (index: number) => shown.nodes.find((node) => node.problems.includes(index));
  const where = (index: number) => holder(index)?.name ?? null;
  const go = (index: number) => {
    const found = diagnostics[index];
    const node = holder(index);
    if (node) {
      select([nodeId(node)]);
      canvas.current?.fit([nodeId(node)]);
    }
    if (found && view !== "draw") editor.current?.reveal(found.from, found.to);
    else if (found && !node) {
      setView("split");
      setTimeout(() => editor.current?.reveal(found.from, found.to), 80);
    }
  };
  useWorkbenchKeys({
    undo,
    redo,
    save: onSave,
    copy: copied,
    paste: pasted,
    cut: () => void removed([...selection.nodes], []),
    fit: () => canvas.current?.fit(),
    tidy,
    find: () => finder.current?.focus(),
    simulate: () => desk.kind === "flow" && setPanel((now) => (now === "simulate" ? null : "simulate")),
  });
  const cursor = (offset: number) => {
    const node = shown.nodes.find((one) => one.from <= offset && offset <= one.to);
    if (node && state.text === state.drawnText && view === "split") select([nodeId(node)]);
  };

  const errors = diagnostics.filter((found) => found.severity === "error").length;
  const chosen = selection.nodes.size > 0 || selection.edge !== null;
  return (
    <DesignerContext value={designer}>
      <RunContext value={run}>
        <div
          className={classes.workbench}
          data-view={view}
          data-inspector={view === "draw" || chosen ? "open" : undefined}
        >
          <header className={classes.bar}>
            <div className={classes.title}>{title}</div>
            <Tools
              journal={state.journal}
              busy={state.busy || formatting}
              readOnly={readOnly}
              onUndo={undo}
              onRedo={redo}
              onTidy={tidy}
              onFit={() => canvas.current?.fit()}
              onFormat={() => void reformat()}
            />
            <SegmentedControl
              size="xs"
              aria-label="View"
              value={view}
              onChange={(value) => {
                setView(value as View);
                canvas.current?.fit();
              }}
              data={[
                { value: "draw", label: "Drawing" },
                { value: "split", label: "Both" },
                { value: "text", label: "Text" },
              ]}
            />
            <Group gap={6} wrap="nowrap">
              {actions}
            </Group>
          </header>
          {view !== "text" && (
            <div className={classes.palette}>
              <PalettePanel
                entries={entries}
                loading={palette.isPending}
                error={palette.error}
                onAdd={(entry) => void add(entry)}
                input={finder}
              />
            </div>
          )}
          {view !== "text" && (
            <section className={classes.canvas} aria-label="Drawing">
              {state.error && (
                <Alert
                  className={classes.alert}
                  color="red"
                  icon={<CircleAlert size={17} aria-hidden />}
                  withCloseButton
                  closeButtonLabel="Dismiss"
                  onClose={() => session.dismissError()}
                  role="alert"
                >
                  {state.error}
                </Alert>
              )}
              {state.drawing && (
                <Canvas
                  flow={shown}
                  diagnostics={diagnostics}
                  readOnly={readOnly}
                  handle={canvas}
                  onSelect={picked}
                  onMove={(moves) => {
                    const [first] = nodesOf(moves.map((one) => one.id));
                    void edit(
                      movesOf(moves),
                      moves.length === 1 ? `Move “${first?.name}”` : `Move ${moves.length} steps`,
                      `move ${moves.map((one) => one.id).join("\n")}`,
                    );
                  }}
                  onConnect={(from, to, port) => {
                    const [source, target] = [byId.get(from), byId.get(to)];
                    const made = source && target && desk.connect(key, shown, source, target, port);
                    if (made) void edit([made], `Connect “${source.name}” to “${target.name}”`);
                  }}
                  onRemove={(nodes, edges) => void removed(nodes, edges)}
                  onDropEntry={(id, at) => {
                    const entry = entries.find((one) => one.id === id);
                    if (entry) void add(entry, at);
                  }}
                />
              )}
              {state.drawing && shown.nodes.length === 0 && (
                <NothingDrawn words={desk.words} broken={readOnly} onText={() => setView("split")} />
              )}
            </section>
          )}
          {view !== "draw" && (
            <section className={classes.text} aria-label="Text">
              <TdmEditor
                value={state.text}
                label={desk.words.text}
                handle={editor}
                diagnostics={diagnostics}
                onChange={(text) => session.type(text)}
                onCursor={cursor}
                onUndo={undo}
                onRedo={redo}
                onSave={onSave}
              />
            </section>
          )}
          {(view === "draw" || (view === "split" && chosen)) && (
            <div className={classes.inspector}>
              {inspector({
                selection,
                onClose: () => select([]),
                onCopy: duplicate,
                onRemove: () => void removed([...selection.nodes], selection.edge ? [selection.edge] : []),
              })}
            </div>
          )}
          <Tabs
            className={classes.bottom}
            value={panel}
            onChange={(value) => setPanel(value as Panel | null)}
            keepMounted={false}
            allowTabDeactivation
          >
            <Tabs.List className={classes.tabs}>
              <Tabs.Tab value="problems" leftSection={<CircleAlert size={14} aria-hidden />}>
                Problems{" "}
                {diagnostics.length > 0 && (
                  <span className={classes.count} data-errors={errors > 0 || undefined}>
                    {diagnostics.length}
                  </span>
                )}
              </Tabs.Tab>
              {desk.kind === "flow" && (
                <Tabs.Tab value="simulate" leftSection={<FlaskConical size={14} aria-hidden />}>
                  Simulate
                </Tabs.Tab>
              )}
            </Tabs.List>
            <Tabs.Panel value="problems" className={classes.panel}>
              <ProblemsPanel
                diagnostics={diagnostics}
                where={where}
                onGo={go}
                onFix={(found) =>
                  found.fix &&
                  state.text === state.drawnText &&
                  void edit([{ op: "replace", ...found.fix }], `Fix ${found.code}`)
                }
              />
            </Tabs.Panel>
            <Tabs.Panel value="simulate" className={classes.tallPanel}>
              <SimulatePanel onShow={(step) => select([step])} />
            </Tabs.Panel>
          </Tabs>
        </div>
      </RunContext>
    </DesignerContext>
  );
}

function storedView(): View {
  const kept = readLocalStorageValue<View>({ key: "marram-designer-view" });
  return kept === "split" || kept === "text" ? kept : "draw";
}

function sameSelection(one: Selection, other: Selection): boolean {
  return (
    one.edge === other.edge &&
    one.nodes.size === other.nodes.size &&
    [...one.nodes].every((name) => other.nodes.has(name))
  );
}

function NothingDrawn({ words, broken, onText }: { words: Desk["words"]; broken: boolean; onText: () => void }) {
  return (
    <div className={classes.empty}>
      <Workflow size={30} aria-hidden />
      <Text fw={600}>{broken ? "There is nothing to draw in this text" : words.empty}</Text>
      <Text size="sm" c="dimmed" ta="center" maw={360}>
        {broken ? words.broken : words.hint}
      </Text>
      {broken && (
        <Button size="xs" variant="default" onClick={onText}>
          Show the text
        </Button>
      )}
    </div>
  );
}
