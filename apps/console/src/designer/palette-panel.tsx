// The palette: what can be added, found by typing, added by dragging, clicking or Enter.
import { CloseButton, Loader, Text, TextInput } from "@mantine/core";
import { useVirtualizer } from "@tanstack/react-virtual";
import { Search } from "lucide-react";
import { type KeyboardEvent, useMemo, useRef, useState } from "react";
import { ErrorPanel } from "../ui/error-panel.tsx";
import { TextLink } from "../ui/link.tsx";
import { DRAG_TYPE } from "./canvas.tsx";
import { KINDS } from "./kinds.tsx";
import { type PaletteEntry, search } from "./palette.ts";
import classes from "./palette-panel.module.css";

export interface PalettePanelProps {
  entries: readonly PaletteEntry[];
  loading: boolean;
  error: unknown;
  onAdd: (entry: PaletteEntry) => void;
  input: React.RefObject<HTMLInputElement | null>;
}

type Row = { readonly kind: "title"; readonly text: string } | { readonly kind: "entry"; readonly entry: PaletteEntry };

function rowsOf(entries: readonly PaletteEntry[], searching: boolean): Row[] {
  const rows: Row[] = [];
  let title = "";
  for (const entry of entries) {
    const own = searching ? "Found" : entry.group === "Logic" ? "Logic" : `${entry.group} · ${entry.from}`;
    if (own !== title) rows.push({ kind: "title", text: own });
    title = own;
    rows.push({ kind: "entry", entry });
  }
  return rows;
}

export function PalettePanel({ entries, loading, error, onAdd, input }: PalettePanelProps) {
  const [query, setQuery] = useState("");
  const found = useMemo(() => search(entries, query), [entries, query]);
  const rows = useMemo(() => rowsOf(found, query.trim() !== ""), [found, query]);
  const scroller = useRef<HTMLDivElement>(null);
  const virtual = useVirtualizer({
    count: rows.length,
    getScrollElement: () => scroller.current,
    estimateSize: (index) => (rows[index]?.kind === "title" ? 30 : 44),
    overscan: 8,
    initialRect: { width: 240, height: 600 },
  });
  const focusEntry = (from: HTMLElement, by: number) => {
    const all = [...(scroller.current?.querySelectorAll<HTMLElement>("[data-entry]") ?? [])];
    const at = all.indexOf(from);
    const next = at === -1 ? all[0] : all[at + by];
    if (next) next.focus();
    else if (by < 0) input.current?.focus();
  };
  const keys = (event: KeyboardEvent<HTMLElement>) => {
    if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      event.preventDefault();
      focusEntry(event.currentTarget, event.key === "ArrowDown" ? 1 : -1);
    }
  };
  return (
    <nav className={classes.panel} aria-label="Palette">
      <div className={classes.search}>
        <TextInput
          ref={input}
          size="xs"
          aria-label="Find a step to add"
          placeholder="Find a device or service"
          leftSection={<Search size={14} aria-hidden />}
          rightSection={
            query !== "" && <CloseButton size="xs" aria-label="Clear the search" onClick={() => setQuery("")} />
          }
          value={query}
          onChange={(event) => setQuery(event.currentTarget.value)}
          onKeyDown={(event) => {
            event.stopPropagation();
            if (event.key === "Enter" && found[0]) onAdd(found[0]);
            else if (event.key === "Escape") setQuery("");
            else if (event.key === "ArrowDown") {
              event.preventDefault();
              focusEntry(event.currentTarget, 1);
            }
          }}
        />
      </div>
      <div className={classes.scroller} ref={scroller}>
        {error ? (
          <div className={classes.note}>
            <ErrorPanel error={error} />
          </div>
        ) : null}
        <ul
          className={classes.list}
          ref={(list) => void list?.style.setProperty("height", `${virtual.getTotalSize()}px`)}
        >
          {virtual.getVirtualItems().map((item) => {
            const row = rows[item.index];
            if (!row) return null;
            const place = { transform: `translateY(${item.start}px)`, height: item.size };
            if (row.kind === "title") {
              return (
                <li key={item.key} className={classes.title} style={place}>
                  {row.text}
                </li>
              );
            }
            return (
              <li key={item.key} className={classes.item} style={place}>
                <Entry entry={row.entry} onAdd={onAdd} onKeyDown={keys} />
              </li>
            );
          })}
        </ul>
        {loading && (
          <div className={classes.note}>
            <Loader size="xs" aria-label="Reading the library" />
          </div>
        )}
        {!loading && rows.length === 0 && (
          <Text size="xs" c="dimmed" className={classes.note}>
            Nothing is called that. <TextLink to="/models/new">Make a device model</TextLink> of your own.
          </Text>
        )}
      </div>
    </nav>
  );
}

function Entry(props: {
  entry: PaletteEntry;
  onAdd: (entry: PaletteEntry) => void;
  onKeyDown: (event: KeyboardEvent<HTMLElement>) => void;
}) {
  const { entry } = props;
  const Icon = KINDS[entry.kind].icon;
  return (
    <button
      type="button"
      data-entry
      data-kind={entry.kind}
      className={classes.entry}
      draggable
      title={`${entry.urn ?? entry.title}\nDrag it onto the canvas, or press Enter`}
      onClick={() => props.onAdd(entry)}
      onKeyDown={props.onKeyDown}
      onDragStart={(event) => {
        event.dataTransfer.setData(DRAG_TYPE, entry.id);
        event.dataTransfer.effectAllowed = "copy";
      }}
    >
      <span className={classes.icon}>
        <Icon size={15} aria-hidden />
      </span>
      <span className={classes.words}>
        <span className={classes.name}>{entry.title}</span>
        <span className={classes.sub}>{entry.actions.length > 0 ? entry.actions.join(", ") : entry.description}</span>
      </span>
    </button>
  );
}
