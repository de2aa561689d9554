// The first-run link: #/welcome?token=... is exchanged for the right to set a password.
import { Button, Code, Loader, Stack, Text } from "@mantine/core";
import { useEffect, useRef } from "react";
import { useOpenLink } from "../api/session.ts";
import { ErrorPanel } from "../ui/error-panel.tsx";
import { SignInFrame } from "./frame.tsx";

/** Reads the token of a first-run link and takes it out of the address, so that it stays in no history. */
export function takeWelcomeToken(): string | null {
  const match = /^#\/welcome\?(.*)$/.exec(window.location.hash);
  const token = match ? new URLSearchParams(match[1]).get("token") : null;
  if (match) window.history.replaceState(null, "", window.location.pathname);
  return token;
}

export function WelcomePage({ token }: { token: string }) {
  const open = useOpenLink();
  const asked = useRef(false);
  const { mutate } = open;
  useEffect(() => {
    if (asked.current) return;
    asked.current = true;
    mutate(token);
  }, [mutate, token]);

  return (
    <SignInFrame title={open.error ? "This link does not open" : "Welcome to Marram"}>
      {open.error ? (
        <Stack>
          <ErrorPanel error={open.error} title="The link was used, is too old, or is not complete" />
          <Text size="sm" c="dimmed">
            A link works once and not for long. Ask whoever sent it for another one; if nobody has signed in yet,
            restart <Code>marram up</Code>.
          </Text>
          <Button variant="default" onClick={() => window.location.assign("/console/")}>
            Go to sign-in
          </Button>
        </Stack>
      ) : (
        <Loader aria-label="Opening the link" />
      )}
    </SignInFrame>
  );
}
