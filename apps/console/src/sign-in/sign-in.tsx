// The page of someone who is not signed in.
import { Alert, Code, Text } from "@mantine/core";
import { Sprout } from "lucide-react";
import { SignInForm } from "./form.tsx";
import { SignInFrame } from "./frame.tsx";

export function SignInPage({ firstRun }: { firstRun: boolean }) {
  return (
    <SignInFrame title="Sign in">
      {firstRun && (
        <Alert variant="light" icon={<Sprout size={18} aria-hidden />} title="Nobody has signed in yet" mb="md">
          <Text size="sm">
            Open the one-time link that <Code>marram up</Code> printed when it started. It also stands in{" "}
            <Code>env.json</Code> in the data directory, and <Code>marram env</Code> prints it.
          </Text>
        </Alert>
      )}
      <SignInForm />
    </SignInFrame>
  );
}
