// An upload under way: what it does, how far it is, what the server found wrong.
import { Alert, List, Loader, Progress, Stack, Text } from "@mantine/core";
import { CircleAlert, CircleCheck } from "lucide-react";
import type { UploadStatus } from "./api.ts";

export function UploadProgress({
  status,
  running,
  error,
}: {
  status: UploadStatus | null;
  running: boolean;
  error: unknown;
}) {
  if (running) {
    return (
      <Stack gap={6} role="status">
        <Text size="sm">
          <Loader size="xs" mr={8} aria-hidden /> The server checks every entity of the new version…
        </Text>
        <Progress value={status ? 66 : 25} animated aria-label="Upload" />
      </Stack>
    );
  }
  if (error) {
    return (
      <Alert color="red" icon={<CircleAlert size={18} aria-hidden />} title="The upload did not start" role="alert">
        {error instanceof Error ? error.message : String(error)}
      </Alert>
    );
  }
  if (status?.uploadStatus === "FAILED") {
    return (
      <Alert
        color="red"
        icon={<CircleAlert size={18} aria-hidden />}
        title="Nothing was changed: the document does not fit"
        role="alert"
      >
        <List size="sm" spacing={4}>
          {(status.failureReason ?? ["no reason was given"]).map((reason) => (
            <List.Item key={reason} className="breakable">
              {reason}
            </List.Item>
          ))}
        </List>
      </Alert>
    );
  }
  if (status?.uploadStatus === "SUCCEEDED") {
    return (
      <Alert color="grass" icon={<CircleCheck size={18} aria-hidden />} title="Uploaded" role="status">
        The namespace is at version {status.namespaceVersion}.
      </Alert>
    );
  }
  return null;
}
