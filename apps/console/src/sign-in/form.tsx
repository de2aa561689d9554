// The form of signing in with user, password and code; used on its own page and over a page whose session ended.
import { Button, Divider, PasswordInput, Stack, TextInput } from "@mantine/core";
import { Fingerprint } from "lucide-react";
import { useState } from "react";
import { ApiError } from "../api/client.ts";
import { usePasskeysHere, useSignIn, useSignInWithPasskey } from "../api/session.ts";
import { ErrorPanel } from "../ui/error-panel.tsx";

/** Twelve digits: what an account id is. */
const ACCOUNT = /^\d{12}$/;

export function SignInForm({ fixed }: { fixed?: { account: string; user: string } }) {
  const [account, setAccount] = useState("");
  const [user, setUser] = useState(fixed?.user ?? "");
  const [password, setPassword] = useState("");
  const [code, setCode] = useState("");
  const signIn = useSignIn();
  const passkeys = usePasskeysHere();
  const chosen = fixed?.account ?? (account.trim() === "" ? undefined : account.trim());
  const ready = user.trim() !== "" && password !== "" && /^\d{6}$/.test(code);

  return (
    <form
      onSubmit={(event) => {
        event.preventDefault();
        if (!ready) return;
        signIn.mutate(
          { ...(chosen && { account: chosen }), user: user.trim(), password, code },
          { onError: () => setCode("") },
        );
      }}
    >
      <Stack gap="sm">
        {passkeys && <WithPasskey />}
        {signIn.error && <ErrorPanel error={signIn.error} title={failureTitle(signIn.error)} />}
        <TextInput
          label="User"
          autoComplete="username"
          autoCapitalize="none"
          spellCheck={false}
          required
          withAsterisk={false}
          disabled={fixed !== undefined}
          data-autofocus={fixed === undefined || undefined}
          value={user}
          onChange={(event) => setUser(event.currentTarget.value)}
        />
        <PasswordInput
          label="Password"
          autoComplete="current-password"
          required
          withAsterisk={false}
          data-autofocus={fixed !== undefined || undefined}
          value={password}
          onChange={(event) => setPassword(event.currentTarget.value)}
          visibilityToggleButtonProps={{ "aria-label": "Show the password" }}
        />
        <CodeInput value={code} onChange={setCode} />
        {fixed === undefined && (
          <TextInput
            label="Account"
            description="Only where there are several. Twelve digits."
            inputMode="numeric"
            autoComplete="off"
            value={account}
            error={account.trim() !== "" && !ACCOUNT.test(account.trim()) ? "An account id has twelve digits" : null}
            onChange={(event) => setAccount(event.currentTarget.value)}
          />
        )}
        <Button type="submit" fullWidth mt="xs" loading={signIn.isPending} disabled={!ready}>
          Sign in
        </Button>
      </Stack>
    </form>
  );
}

/** A discoverable passkey tells by itself whose it is. */
function WithPasskey() {
  const signIn = useSignInWithPasskey();
  return (
    <>
      {signIn.error && <ErrorPanel error={signIn.error} title="That did not work" />}
      <Button
        variant="default"
        fullWidth
        leftSection={<Fingerprint size={16} aria-hidden />}
        loading={signIn.isPending}
        onClick={() => signIn.mutate()}
      >
        Sign in with a passkey
      </Button>
      <Divider label="or" />
    </>
  );
}

/** Six digits of an authenticator; spaces that people copy along are dropped. */
export function CodeInput(props: { value: string; onChange: (code: string) => void; label?: string }) {
  return (
    <TextInput
      label={props.label ?? "Code of your authenticator"}
      inputMode="numeric"
      autoComplete="one-time-code"
      placeholder="000000"
      required
      withAsterisk={false}
      classNames={{ input: "tabular" }}
      value={props.value}
      onChange={(event) => props.onChange(event.currentTarget.value.replace(/\D/g, "").slice(0, 6))}
    />
  );
}

function failureTitle(error: unknown): string {
  if (!(error instanceof ApiError)) return "That did not work";
  if (error.status === 429) return "Too many attempts";
  return error.status === 403 ? "User, password or code is wrong" : "That did not work";
}
