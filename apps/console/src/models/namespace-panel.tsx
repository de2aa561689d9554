// The namespace: its version, the public version it follows, and how to move on.
import { Button, Group, Modal, Stack, Text, TextInput } from "@mantine/core";
import { useQueryClient } from "@tanstack/react-query";
import { RefreshCw } from "lucide-react";
import { useState } from "react";
import { useAction } from "../api/call.ts";
import { useMay } from "../api/may.tsx";
import { NAMESPACE_KEY, type UploadStatus, upload, useNamespace } from "./api.ts";
import { LIBRARY_KEY } from "./library.ts";
import classes from "./namespace-panel.module.css";
import { UploadProgress } from "./upload-progress.tsx";
import { privateNamespace } from "./urn.ts";

export function NamespacePanel({ region, account }: { region: string; account: string }) {
  const own = useNamespace();
  const shared = useNamespace("aws");
  const mayUpload = useMay("iotthingsgraph:UploadEntityDefinitions");
  const [asking, setAsking] = useState<"sync" | "deprecate" | null>(null);
  const name = own.data?.namespaceName ?? privateNamespace(region, account);
  const behind =
    (shared.data?.namespaceVersion ?? 0) - (own.data?.trackingNamespaceVersion ?? shared.data?.namespaceVersion ?? 0);
  if (own.isError) return null;
  return (
    <section className={classes.panel} aria-label="Namespace">
      <div>
        <Text size="xs" c="dimmed">
          Your namespace
        </Text>
        <Text fw={600} className="breakable">
          {name}
        </Text>
      </div>
      <div>
        <Text size="xs" c="dimmed">
          Version
        </Text>
        <Text fw={600}>{own.isPending ? "…" : (own.data?.namespaceVersion ?? "none yet")}</Text>
      </div>
      <div>
        <Text size="xs" c="dimmed">
          Public library
        </Text>
        <Text fw={600}>
          {own.data?.trackingNamespaceVersion ?? shared.data?.namespaceVersion ?? "…"}
          {behind > 0 && (
            <Text span c="dimmed" fw={400}>
              {" "}
              · {behind} behind
            </Text>
          )}
        </Text>
      </div>
      {mayUpload && own.data && (
        <Group gap="xs" ml="auto">
          <Button
            size="xs"
            variant={behind > 0 ? "light" : "default"}
            leftSection={<RefreshCw size={14} aria-hidden />}
            onClick={() => setAsking("sync")}
          >
            Follow the newest library
          </Button>
          <Button size="xs" variant="subtle" color="red" onClick={() => setAsking("deprecate")}>
            Deprecate everything…
          </Button>
        </Group>
      )}
      {asking && <Change kind={asking} name={name} onClose={() => setAsking(null)} />}
    </section>
  );
}

function Change({ kind, name, onClose }: { kind: "sync" | "deprecate"; name: string; onClose: () => void }) {
  const queries = useQueryClient();
  const [status, setStatus] = useState<UploadStatus | null>(null);
  const [typed, setTyped] = useState("");
  const change = useAction<void, UploadStatus>({
    run: () => upload(kind === "sync" ? { sync: true } : { deprecate: true }, setStatus),
    quiet: true,
    onDone: () => {
      void queries.invalidateQueries({ queryKey: NAMESPACE_KEY });
      void queries.invalidateQueries({ queryKey: LIBRARY_KEY });
    },
  });
  const done = status?.uploadStatus === "SUCCEEDED";
  const last = name.split("/").at(-2) ?? name;
  return (
    <Modal
      opened
      onClose={onClose}
      title={kind === "sync" ? "Follow the newest public library" : "Deprecate all your entities"}
    >
      <Stack gap="md">
        <Text size="sm">
          {kind === "sync"
            ? "Makes a new version of your namespace that refers to the newest public entities. All your entities are checked against them first; nothing changes if one does not fit. Deployed flows keep what they were deployed with."
            : "Makes a new version without any of your entities. Older versions stay readable, deployed flows go on, but new flows cannot use the entities any more. Upload them again to bring them back."}
        </Text>
        {kind === "deprecate" && !done && (
          <TextInput
            label={`Type the account id ${last} to go on`}
            value={typed}
            onChange={(event) => setTyped(event.currentTarget.value)}
            autoComplete="off"
          />
        )}
        <UploadProgress status={status} running={change.isPending} error={change.error} />
        <Group justify="flex-end">
          <Button variant="default" onClick={onClose}>
            {done ? "Close" : "Cancel"}
          </Button>
          {!done && (
            <Button
              color={kind === "sync" ? "grass" : "red"}
              loading={change.isPending}
              disabled={kind === "deprecate" && typed !== last}
              onClick={() => change.mutate()}
            >
              {kind === "sync" ? "Make the new version" : "Deprecate everything"}
            </Button>
          )}
        </Group>
      </Stack>
    </Modal>
  );
}
