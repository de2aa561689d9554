// A password and its second factor: chosen, scanned, proved with a code. For enrolling, and for whoever adds them later.
import { Button, Code, CopyButton, Group, PasswordInput, Stack, Text } from "@mantine/core";
import { Check, Copy } from "lucide-react";
import { useState } from "react";
import { ErrorPanel } from "../ui/error-panel.tsx";
import { CodeInput } from "./form.tsx";
import { passwordAdvice } from "./password.ts";
import { Qr } from "./qr.tsx";

interface PasswordFormProps {
  user: string;
  /** The TOTP secret, base32, and as `otpauth://`. */
  secret: string;
  uri: string;
  /** The words on the button. */
  verb: string;
  busy: boolean;
  error: unknown;
  /** `clear` empties the code, which is good once. */
  onSubmit: (input: { password: string; code: string }, clear: () => void) => void;
}

export function PasswordForm(props: PasswordFormProps) {
  const [password, setPassword] = useState("");
  const [repeated, setRepeated] = useState("");
  const [code, setCode] = useState("");
  const advice = passwordAdvice(password, props.user);
  const differs = repeated !== "" && repeated !== password;
  const ready = password !== "" && advice === null && repeated === password && code.length === 6;

  return (
    <form
      onSubmit={(event) => {
        event.preventDefault();
        if (ready) props.onSubmit({ password, code }, () => setCode(""));
      }}
    >
      <Stack gap="md">
        {props.error ? <ErrorPanel error={props.error} /> : null}
        <input type="text" name="username" autoComplete="username" value={props.user} readOnly hidden />
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
          <Qr text={props.uri} label="Secret for your authenticator app as a QR code" />
          <Stack gap="xs" flex="1 1 14rem">
            <Text size="sm">Scan this with an authenticator app, or type the secret:</Text>
            <Group gap="xs" wrap="nowrap">
              <Code className="breakable">{props.secret.replace(/(.{4})(?=.)/g, "$1 ")}</Code>
              <CopyButton value={props.secret}>
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
        <Button type="submit" loading={props.busy} disabled={!ready}>
          {props.verb}
        </Button>
      </Stack>
    </form>
  );
}
