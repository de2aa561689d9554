// Names a new flow; the drawing starts from its empty text.
import { Button, Group, Modal, Stack, TextInput } from "@mantine/core";
import { useState } from "react";
import { useSession } from "../api/session.ts";
import { makeUrn, privateNamespace, toName, urnKey } from "../models/urn.ts";
import { quote } from "../tdm-editor/lexer.ts";
import { useGo } from "../ui/link.tsx";

/** The text of a flow without steps. */
export function emptyFlow(urn: string, name: string): string {
  return `query ${name} @workflowType(id: ${quote(urn)}) {\n  steps {\n  }\n}\n`;
}

export function NewFlow({
  opened,
  onClose,
  taken,
}: {
  opened: boolean;
  onClose: () => void;
  taken: readonly string[];
}) {
  const session = useSession();
  const go = useGo();
  const [typed, setTyped] = useState("");
  const name = toName(typed);
  const urn = makeUrn(privateNamespace(session.region, session.account), "Workflow", name);
  const isTaken = taken.some((other) => urnKey(other) === urnKey(urn));
  const start = () => {
    if (name === "" || isTaken) return;
    onClose();
    go({ to: "/flows/design", search: { flow: urn, draft: "new" } });
  };
  return (
    <Modal opened={opened} onClose={onClose} title="New flow">
      <form
        onSubmit={(event) => {
          event.preventDefault();
          start();
        }}
      >
        <Stack gap="md">
          <TextInput
            label="Name"
            placeholder="Water the herbs"
            data-autofocus
            value={typed}
            onChange={(event) => setTyped(event.currentTarget.value)}
            description={name === "" ? "Letters and digits" : urn}
            error={isTaken ? "A flow of this name exists." : undefined}
          />
          <Group justify="flex-end">
            <Button variant="default" onClick={onClose}>
              Cancel
            </Button>
            <Button type="submit" disabled={name === "" || isTaken}>
              Draw it
            </Button>
          </Group>
        </Stack>
      </form>
    </Modal>
  );
}
