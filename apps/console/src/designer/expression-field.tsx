// A field for an expression: completes names that are in scope at its step, shows what is wrong where it is typed.
import { Group, Text, TextInput, type TextInputProps } from "@mantine/core";
import { useDebouncedValue } from "@mantine/hooks";
import { useQuery } from "@tanstack/react-query";
import { type KeyboardEvent, useEffect, useId, useRef, useState } from "react";
import { type ScopePlace, scope } from "../tdm-editor/service.ts";
import { useDesigner } from "./context.ts";
import classes from "./expression-field.module.css";

export interface ExpressionFieldProps {
  label: string;
  description?: string;
  step: string;
  place: ScopePlace;
  value: string;
  placeholder?: string;
  required?: boolean;
  /** Called when the field is left or Enter is pressed, with a value that differs. */
  onCommit: (value: string) => void;
  leftSection?: TextInputProps["leftSection"];
}

interface Suggestion {
  readonly path: string;
  readonly type: string;
}

const MAX_SUGGESTIONS = 8;

/** The name being typed at `caret`; in a text value only inside `${ }` or right after `$`. */
export function nameAt(value: string, caret: number, place: ScopePlace): { from: number; word: string } | null {
  const before = value.slice(0, caret);
  const word = /[\w.]*$/.exec(before)?.[0] ?? "";
  const from = caret - word.length;
  if (place !== "argument") return { from, word };
  const inside = before.lastIndexOf("${") > before.lastIndexOf("}");
  return inside || before[from - 1] === "$" ? { from, word } : null;
}

export function ExpressionField(props: ExpressionFieldProps) {
  const { state, key, readOnly } = useDesigner();
  const [draft, setDraft] = useState(props.value);
  const [caret, setCaret] = useState<number | null>(null);
  const [active, setActive] = useState(0);
  const input = useRef<HTMLInputElement>(null);
  const listId = useId();
  useEffect(() => setDraft(props.value), [props.value]);

  const [asked] = useDebouncedValue(draft, 220);
  const focused = caret !== null;
  const question = { text: state.text, flow: key, step: props.step, place: props.place, expression: asked };
  const answer = useQuery({
    // Not the text itself: it is long, and compared at every key.
    queryKey: ["tdm-scope", state.stamp, key, props.step, props.place, asked],
    queryFn: ({ signal }) => scope(question, signal),
    enabled: focused || asked !== "",
    staleTime: 60_000,
    gcTime: 60_000,
    placeholderData: (before) => before,
    retry: false,
  });
  const error = draft === asked && draft !== "" ? answer.data?.error : undefined;

  const typed = focused ? nameAt(draft, caret, props.place) : null;
  const all: Suggestion[] = typed
    ? [
        ...(answer.data?.names ?? []),
        ...(answer.data?.functions ?? []).map((one) => ({ path: `${one.path}(`, type: "function" })),
      ]
    : [];
  const wanted = typed?.word.toLowerCase() ?? "";
  const exact = all.some((one) => one.path.toLowerCase() === wanted);
  const suggestions =
    exact && wanted !== ""
      ? []
      : all.filter((one) => one.path.toLowerCase().startsWith(wanted)).slice(0, MAX_SUGGESTIONS);
  const open = focused && suggestions.length > 0 && !readOnly;

  const take = (suggestion: Suggestion) => {
    if (!typed) return;
    const next = draft.slice(0, typed.from) + suggestion.path + draft.slice(typed.from + typed.word.length);
    const at = typed.from + suggestion.path.length;
    setDraft(next);
    setActive(0);
    requestAnimationFrame(() => {
      input.current?.setSelectionRange(at, at);
      setCaret(at);
    });
  };
  const commit = () => {
    if (draft !== props.value) props.onCommit(draft);
  };
  const pressed = (event: KeyboardEvent) => {
    event.stopPropagation();
    if (event.key === "Escape") {
      if (open) setCaret(null);
      else setDraft(props.value);
    } else if (open && (event.key === "ArrowDown" || event.key === "ArrowUp")) {
      event.preventDefault();
      const by = event.key === "ArrowDown" ? 1 : suggestions.length - 1;
      setActive((active + by) % suggestions.length);
    } else if (open && (event.key === "Tab" || event.key === "Enter") && wanted !== "") {
      const chosen = suggestions[active];
      if (chosen) {
        event.preventDefault();
        take(chosen);
      }
    } else if (event.key === "Enter") commit();
  };

  return (
    <div className={classes.field}>
      <TextInput
        ref={input}
        label={props.label}
        description={props.description}
        placeholder={props.placeholder}
        withAsterisk={props.required ?? false}
        value={draft}
        readOnly={readOnly}
        size="xs"
        spellCheck={false}
        autoComplete="off"
        classNames={{ input: classes.input ?? "" }}
        leftSection={props.leftSection}
        rightSection={
          answer.data?.type && !error && draft !== "" ? (
            <Text className={classes.type}>{answer.data.type}</Text>
          ) : undefined
        }
        rightSectionWidth={
          answer.data?.type && !error && draft !== "" ? Math.min(96, 16 + answer.data.type.length * 6.4) : undefined
        }
        error={
          error ? <Problem expression={draft} message={error.message} from={error.from} to={error.to} /> : undefined
        }
        role="combobox"
        aria-expanded={open}
        aria-controls={open ? listId : undefined}
        aria-autocomplete="list"
        aria-activedescendant={open ? `${listId}-${active}` : undefined}
        onChange={(event) => {
          setDraft(event.currentTarget.value);
          setCaret(event.currentTarget.selectionStart ?? event.currentTarget.value.length);
          setActive(0);
        }}
        onFocus={(event) => setCaret(event.currentTarget.selectionStart ?? draft.length)}
        onClick={(event) => setCaret(event.currentTarget.selectionStart ?? draft.length)}
        onKeyDown={pressed}
        onBlur={() => {
          setCaret(null);
          commit();
        }}
      />
      {open && (
        <div className={classes.list} id={listId} role="listbox" aria-label="Names in scope" tabIndex={-1}>
          {suggestions.map((one, index) => (
            // biome-ignore lint/a11y/useKeyWithClickEvents: keys are handled by the field, which keeps the focus
            <div
              key={one.path}
              id={`${listId}-${index}`}
              role="option"
              tabIndex={-1}
              aria-selected={index === active}
              className={classes.option}
              onMouseDown={(event) => event.preventDefault()}
              onClick={() => take(one)}
            >
              <span className={classes.path}>{one.path}</span>
              <span className={classes.kind}>{one.type}</span>
            </div>
          ))}
        </div>
      )}
    </div>
  );
}

function Problem({ expression, message, from, to }: { expression: string; message: string; from: number; to: number }) {
  const part = expression.slice(from, to);
  return (
    <Group gap={6} component="span">
      {part !== "" && part.length < 40 && <code className={classes.part}>{part}</code>}
      <span>{message}</span>
    </Group>
  );
}
