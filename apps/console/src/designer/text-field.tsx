// A plain field that changes the document when it is left, not at every key.
import { TextInput, type TextInputProps } from "@mantine/core";
import { useEffect, useState } from "react";

export type TextFieldProps = Omit<TextInputProps, "value" | "onChange" | "onBlur" | "onKeyDown"> & {
  value: string;
  onCommit: (value: string) => void;
  /** Says what is wrong with a value; such a value is not committed. */
  check?: (value: string) => string | null;
};

export function TextField({ value, onCommit, check, ...rest }: TextFieldProps) {
  const [draft, setDraft] = useState(value);
  useEffect(() => setDraft(value), [value]);
  const wrong = draft === value ? null : (check?.(draft) ?? null);
  const commit = () => {
    if (draft !== value && wrong === null) onCommit(draft);
  };
  return (
    <TextInput
      size="xs"
      {...rest}
      value={draft}
      error={wrong ?? rest.error}
      onChange={(event) => setDraft(event.currentTarget.value)}
      onBlur={commit}
      onKeyDown={(event) => {
        event.stopPropagation();
        if (event.key === "Enter") commit();
        if (event.key === "Escape") setDraft(value);
      }}
    />
  );
}
