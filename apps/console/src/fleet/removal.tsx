// The button that takes a resource away for good, for who may: asks first, wants a name typed, goes elsewhere afterwards.
import { Button, Text } from "@mantine/core";
import { useDisclosure } from "@mantine/hooks";
import type { QueryKey } from "@tanstack/react-query";
import { Trash2 } from "lucide-react";
import { useAction } from "../api/call.ts";
import { useMay } from "../api/may.tsx";
import { Confirm } from "../ui/confirm.tsx";

export interface RemovalProps {
  /** Without this permission there is no button. */
  action: string;
  run: () => Promise<unknown>;
  /** What the toast says afterwards. */
  done: string;
  /** Query keys (or their beginnings) that are stale afterwards. */
  refresh: QueryKey[];
  onDone: () => void;
  verb: string;
  /** On the button, where the verb alone does not tell which. */
  label?: string;
  /** The question, as the dialog's title. */
  title: string;
  /** What has to be typed first. */
  typed: string;
  /** What goes with it, and what stays. */
  children: string;
  color?: string;
}

export function Removal(props: RemovalProps) {
  const [opened, dialog] = useDisclosure(false);
  const allowed = useMay(props.action);
  const remove = useAction({
    run: props.run,
    done: () => props.done,
    refresh: props.refresh,
    onDone: () => {
      dialog.close();
      props.onDone();
    },
  });
  if (!allowed) return null;
  return (
    <>
      <Button
        variant="default"
        {...(props.color !== undefined && { color: props.color })}
        leftSection={<Trash2 size={15} aria-hidden />}
        onClick={dialog.open}
      >
        {props.label ?? props.verb}
      </Button>
      <Confirm
        opened={opened}
        onClose={dialog.close}
        onConfirm={() => remove.mutate()}
        busy={remove.isPending}
        title={props.title}
        verb={props.verb}
        typed={props.typed}
      >
        <Text size="sm">{props.children}</Text>
      </Confirm>
    </>
  );
}
