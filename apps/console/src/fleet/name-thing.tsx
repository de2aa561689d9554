// A line in which a thing is named that something is done with; what is refused stands below the field.
import { Button, Group, TextInput } from "@mantine/core";
import type { QueryKey } from "@tanstack/react-query";
import { useState } from "react";
import { useAction } from "../api/call.ts";

export interface NameThingProps {
  /** Name of the field for who cannot see it. */
  label: string;
  verb: string;
  run: (thing: string) => Promise<unknown>;
  /** What the toast says afterwards. */
  done: (thing: string) => string;
  /** Query keys (or their beginnings) that are stale afterwards. */
  refresh: QueryKey[];
}

export function NameThing(props: NameThingProps) {
  const [text, setText] = useState("");
  const thing = text.trim();
  const act = useAction({
    run: props.run,
    done: (_, name) => props.done(name),
    refresh: props.refresh,
    onDone: () => setText(""),
    quiet: true,
  });
  return (
    <form
      onSubmit={(event) => {
        event.preventDefault();
        if (thing !== "") act.mutate(thing);
      }}
    >
      <Group gap="xs" p="sm" align="flex-start">
        <TextInput
          size="xs"
          aria-label={props.label}
          placeholder="Name of a thing"
          flex="1 1 12rem"
          maw={320}
          value={text}
          onChange={(event) => setText(event.currentTarget.value)}
          error={act.error?.message}
        />
        <Button size="xs" type="submit" variant="default" loading={act.isPending} disabled={thing === ""}>
          {props.verb}
        </Button>
      </Group>
    </form>
  );
}
