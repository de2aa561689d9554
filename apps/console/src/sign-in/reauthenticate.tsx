// Asks for a passkey, or password and code, once more when a call that destroys something wants it, then lets the call go on.
import { Button, Divider, Group, Modal, PasswordInput, Stack, Text } from "@mantine/core";
import { useMutation } from "@tanstack/react-query";
import { Fingerprint } from "lucide-react";
import { useEffect, useState } from "react";
import { setReauthentication } from "../api/client.ts";
import { reauthenticate, usePasskeysHere, useSession } from "../api/session.ts";
import { ErrorPanel } from "../ui/error-panel.tsx";
import { CodeInput } from "./form.tsx";

export function Reauthenticate() {
  const [answer, setAnswer] = useState<((proved: boolean) => void) | null>(null);
  useEffect(() => {
    setReauthentication(() => new Promise((resolve) => setAnswer(() => resolve)));
    return () => setReauthentication(async () => false);
  }, []);
  const finish = (proved: boolean) => {
    answer?.(proved);
    setAnswer(null);
  };
  return (
    <Modal
      opened={answer !== null}
      onClose={() => finish(false)}
      title="Is it still you?"
      size={400}
      zIndex={300}
      closeButtonProps={{ "aria-label": "Close" }}
    >
      {answer !== null && <Form onDone={finish} />}
    </Modal>
  );
}

function Form({ onDone }: { onDone: (proved: boolean) => void }) {
  const { methods } = useSession();
  const passkeys = usePasskeysHere() && methods.passkeys > 0;
  return (
    <Stack gap="sm">
      <Text size="sm" c="dimmed">
        What you are about to do cannot be undone or gives something away, so it wants a fresh proof.
      </Text>
      {passkeys && <WithPasskey onDone={onDone} />}
      {passkeys && methods.password && <Divider label="or" />}
      {methods.password && <WithPassword onDone={onDone} />}
    </Stack>
  );
}

function WithPasskey({ onDone }: { onDone: (proved: boolean) => void }) {
  const prove = useMutation({ mutationFn: () => reauthenticate("passkey"), onSuccess: () => onDone(true) });
  return (
    <>
      {prove.error && <ErrorPanel error={prove.error} title="That did not work" />}
      <Button
        data-autofocus
        leftSection={<Fingerprint size={16} aria-hidden />}
        loading={prove.isPending}
        onClick={() => prove.mutate()}
      >
        Use a passkey
      </Button>
    </>
  );
}

function WithPassword({ onDone }: { onDone: (proved: boolean) => void }) {
  const [password, setPassword] = useState("");
  const [code, setCode] = useState("");
  const prove = useMutation({
    mutationFn: () => reauthenticate({ password, code }),
    onSuccess: () => onDone(true),
    onError: () => setCode(""),
  });
  return (
    <form
      onSubmit={(event) => {
        event.preventDefault();
        prove.mutate();
      }}
    >
      <Stack gap="sm">
        {prove.error && <ErrorPanel error={prove.error} title="Password or code is wrong" />}
        <PasswordInput
          label="Password"
          autoComplete="current-password"
          data-autofocus
          value={password}
          onChange={(event) => setPassword(event.currentTarget.value)}
          visibilityToggleButtonProps={{ "aria-label": "Show the password" }}
        />
        <CodeInput value={code} onChange={setCode} />
        <Group justify="flex-end" gap="xs" mt="xs">
          <Button variant="default" onClick={() => onDone(false)}>
            Cancel
          </Button>
          <Button type="submit" loading={prove.isPending} disabled={password === "" || code.length !== 6}>
            Go on
          </Button>
        </Group>
      </Stack>
    </form>
  );
}
