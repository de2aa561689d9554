// A failure told to a person: what went wrong, by which code, and what can be done.
import { Alert, Button, Group, Text } from "@mantine/core";
import { CircleAlert, Lock } from "lucide-react";
import { ApiError, isDenied } from "../api/client.ts";

export function ErrorPanel(props: { error: unknown; retry?: () => void; retrying?: boolean; title?: string }) {
  const { error } = props;
  const denied = isDenied(error);
  const code = error instanceof ApiError ? error.code : undefined;
  const message = error instanceof Error ? error.message : String(error);
  return (
    <Alert
      color={denied ? "gray" : "red"}
      variant="light"
      icon={denied ? <Lock size={18} aria-hidden /> : <CircleAlert size={18} aria-hidden />}
      title={props.title ?? (denied ? "Your policies do not allow this" : "That did not work")}
      role="alert"
      maw={720}
    >
      <Text size="sm" className="breakable">
        {message}
      </Text>
      <Group mt="xs" gap="sm">
        {props.retry && !denied && (
          <Button size="xs" variant="default" onClick={props.retry} loading={props.retrying ?? false}>
            Try again
          </Button>
        )}
        {code && (
          <Text size="xs" c="dimmed" ff="monospace">
            {code}
          </Text>
        )}
      </Group>
    </Alert>
  );
}
