// Enrolment: choose a password, scan the secret of the second factor, prove it with a code.
import { Button, Code, CopyButton, Group, PasswordInput, Stack, Text } from "@mantine/core";
import { Check, Copy } from "lucide-react";
import { useState } from "react";
import { type Enrolling, useEnrol } from "../api/session.ts";
import { ErrorPanel } from "../ui/error-panel.tsx";
import { CodeInput } from "./form.tsx";
import { SignInFrame } from "./frame.tsx";
import { passwordAdvice } from "./password.ts";
import { Qr } from "./qr.tsx";

export function EnrolPage({ session }: { session: Enrolling }) {
  const [password, setPassword] = useState("");
  const [repeated, setRepeated] = useState("");
  const [code, setCode] = useState("");
  const enrol = useEnrol();
  const advice = passwordAdvice(password, session.user);
  const differs = repeated !== "" && repeated !== password;
  const ready = password !== "" && advice === null && repeated === password && code.length === 6;

  return (
    <SignInFrame
      wide
      title={`Welcome, ${session.user}`}
      description="Choose a password and connect an authenticator app. You will need both to sign in."
    >
      <form
        onSubmit={(event) => {
          event.preventDefault();
          if (ready) enrol.mutate({ password, code }, { onError: () => setCode("") });
        }}
      >
        <Stack gap="md">
          {enrol.error && <ErrorPanel error={enrol.error} />}
          <input type="text" name="username" autoComplete="username" value={session.user} readOnly hidden />
          <PasswordInput
            label="Password"
            description="At least 14 characters. A sentence is easier to keep than symbols."
            autoComplete="new-password"
            required
            withAsterisk={false}
            value={password}
            error={password === "" ? null : advice}
            onChange={(event) => setPassword(event.currentTarget.value)}
            visibilityToggleButtonProps={{ "aria-label": "Show the password" }}
          />
          <PasswordInput
            label="Password again"
            autoComplete="new-password"
            required
            withAsterisk={false}
            value={repeated}
            error={differs ? "The two passwords differ" : null}
            onChange={(event) => setRepeated(event.currentTarget.value)}
            visibilityToggleButtonProps={{ "aria-label": "Show the repeated password" }}
          />
          <Group align="flex-start" gap="lg" wrap="wrap">
            <Qr text={session.uri} label="Secret for your authenticator app as a QR code" />
            <Stack gap="xs" flex="1 1 14rem">
              <Text size="sm">Scan this with an authenticator app, or type the secret:</Text>
              <Group gap="xs" wrap="nowrap">
                <Code className="breakable">{session.secret.replace(/(.{4})(?=.)/g, "$1 ")}</Code>
                <CopyButton value={session.secret}>
                  {({ copied, copy }) => (
                    <Button
                      size="compact-xs"
                      flex="none"
                      variant="default"
                      onClick={copy}
                      leftSection={copied ? <Check size={13} aria-hidden /> : <Copy size={13} aria-hidden />}
                    >
                      {copied ? "Copied" : "Copy"}
                    </Button>
                  )}
                </CopyButton>
              </Group>
              <CodeInput value={code} onChange={setCode} label="The code it shows now" />
            </Stack>
          </Group>
          <Button type="submit" loading={enrol.isPending} disabled={!ready}>
            Finish and sign in
          </Button>
        </Stack>
      </form>
    </SignInFrame>
  );
}
