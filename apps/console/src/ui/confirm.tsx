// Asks before something is lost: names it, and wants its name typed when it cannot come back.
import { Button, Group, Modal, Stack, Text, TextInput } from "@mantine/core";
import { type ReactNode, useState } from "react";

export interface ConfirmProps {
  opened: boolean;
  onClose: () => void;
  onConfirm: () => void;
  title: string;
  children: ReactNode;
  /** The verb on the button. */
  verb: string;
  /** What has to be typed first. */
  typed?: string;
  busy?: boolean;
}

export function Confirm(props: ConfirmProps) {
  const [text, setText] = useState("");
  const ready = props.typed === undefined || text === props.typed;
  const close = () => {
    setText("");
    props.onClose();
  };
  return (
    <Modal opened={props.opened} onClose={close} title={props.title} closeButtonProps={{ "aria-label": "Close" }}>
      <form
        onSubmit={(event) => {
          event.preventDefault();
          if (ready) props.onConfirm();
        }}
      >
        <Stack gap="md">
          <Text size="sm" component="div">
            {props.children}
          </Text>
          {props.typed !== undefined && (
            <TextInput
              label={`Type ${props.typed} to go on`}
              value={text}
              onChange={(event) => setText(event.currentTarget.value)}
              autoComplete="off"
              spellCheck={false}
              data-autofocus
            />
          )}
          <Group justify="flex-end" gap="xs">
            <Button variant="default" onClick={close} data-autofocus={props.typed === undefined || undefined}>
              Keep it
            </Button>
            <Button type="submit" color="red" disabled={!ready} loading={props.busy ?? false}>
              {props.verb}
            </Button>
          </Group>
        </Stack>
      </form>
    </Modal>
  );
}
