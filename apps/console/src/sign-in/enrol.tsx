// Enrolment: a passkey, or a password and an authenticator app.
import { Button, Divider, Stack, Text, TextInput } from "@mantine/core";
import { Fingerprint } from "lucide-react";
import { useState } from "react";
import { type Enrolling, useEnrol, useEnrolPasskey, usePasskeysHere } from "../api/session.ts";
import { ErrorPanel } from "../ui/error-panel.tsx";
import { SignInFrame } from "./frame.tsx";
import { PasswordForm } from "./password-form.tsx";

export function EnrolPage({ session }: { session: Enrolling }) {
  const enrol = useEnrol();
  const passkeys = usePasskeysHere();
  return (
    <SignInFrame
      wide
      title={`Welcome, ${session.user}`}
      description={
        passkeys
          ? "Choose how you will sign in. More ways can be added later."
          : "Choose a password and connect an authenticator app. You will need both to sign in."
      }
    >
      {passkeys && (
        <>
          <FirstPasskey />
          <Divider my="lg" label="or a password and an authenticator app" />
        </>
      )}
      <PasswordForm
        user={session.user}
        secret={session.secret}
        uri={session.uri}
        verb="Finish and sign in"
        busy={enrol.isPending}
        error={enrol.error}
        onSubmit={(input, clear) => enrol.mutate(input, { onError: clear })}
      />
    </SignInFrame>
  );
}

function FirstPasskey() {
  const [name, setName] = useState("My first passkey");
  const enrol = useEnrolPasskey();
  return (
    <form
      onSubmit={(event) => {
        event.preventDefault();
        enrol.mutate(name);
      }}
    >
      <Stack gap="sm">
        {enrol.error && <ErrorPanel error={enrol.error} />}
        <Text size="sm">
          A passkey stays on this device, on a security key or in your password manager, and cannot be given away to a
          false page.
        </Text>
        <TextInput
          label="Name of the passkey"
          autoComplete="off"
          maxLength={64}
          value={name}
          onChange={(event) => setName(event.currentTarget.value)}
        />
        <Button
          type="submit"
          leftSection={<Fingerprint size={16} aria-hidden />}
          loading={enrol.isPending}
          disabled={name.trim() === ""}
        >
          Create a passkey and sign in
        </Button>
      </Stack>
    </form>
  );
}
