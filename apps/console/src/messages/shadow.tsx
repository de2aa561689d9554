// One shadow: edited against the version that was read, so that nobody's change is lost unseen.
import { Alert, Badge, Button, Code, Group, JsonInput, Skeleton, Stack, Text } from "@mantine/core";
import { useDisclosure } from "@mantine/hooks";
import { useQuery, useQueryClient } from "@tanstack/react-query";
import { CloudOff, Trash2 } from "lucide-react";
import { useState } from "react";
import { call, useAction } from "../api/call.ts";
import { ApiError, isNotFound } from "../api/client.ts";
import { useMay } from "../api/may.tsx";
import { CodeBlock } from "../ui/code-block.tsx";
import { Confirm } from "../ui/confirm.tsx";
import { Empty } from "../ui/empty.tsx";
import { ErrorPanel } from "../ui/error-panel.tsx";
import { decodeText, encodeText } from "../ui/format.ts";
import { Columns, Panel } from "../ui/panel.tsx";
import { When } from "../ui/when.tsx";
import { type JsonObject, parseState, patch, type ShadowDocument } from "./shadow-document.ts";

const REFRESH_MILLIS = 5_000;

interface Draft {
  desired: string;
  reported: string;
  /** What the draft started from. */
  from: ShadowDocument | null;
}

const text = (state: JsonObject | undefined) => JSON.stringify(state ?? {}, null, 2);
const isConflict = (error: unknown) => error instanceof ApiError && error.status === 409;

export function Shadow({ thing, name }: { thing: string; name: string }) {
  const target = { thingName: thing, ...(name !== "" && { shadowName: name }) };
  const key = ["iot-data", "GetThingShadow", thing, name];
  const queries = useQueryClient();
  const mayUpdate = useMay("iot:UpdateThingShadow");
  const [draft, setDraft] = useState<Draft | null>(null);
  const shadow = useQuery({
    queryKey: key,
    queryFn: async ({ signal }): Promise<ShadowDocument | null> => {
      try {
        const output = await call<{ payload: string }>("iot-data", "GetThingShadow", target, signal);
        return JSON.parse(decodeText(output.payload) ?? "{}") as ShadowDocument;
      } catch (error) {
        if (isNotFound(error)) return null;
        throw error;
      }
    },
    refetchInterval: REFRESH_MILLIS,
  });
  const desired = draft && parseState(draft.desired);
  const reported = draft && parseState(draft.reported);
  const change =
    draft && desired && reported && "value" in desired && "value" in reported
      ? changeOf(draft, desired.value, reported.value)
      : null;
  const save = useAction({
    run: (state: JsonObject) =>
      call("iot-data", "UpdateThingShadow", {
        ...target,
        payload: encodeText(JSON.stringify({ state, ...(draft?.from && { version: draft.from.version }) })),
      }),
    done: () => "The shadow is saved.",
    refresh: [key, ["iot-data", "ListNamedShadowsForThing"]],
    onDone: () => setDraft(null),
    quiet: true,
  });
  const start = (from: ShadowDocument | null) => {
    save.reset();
    setDraft({ desired: text(from?.state.desired), reported: text(from?.state.reported), from });
  };

  if (shadow.error) return <ErrorPanel error={shadow.error} retry={() => void shadow.refetch()} />;
  if (shadow.isPending) return <Skeleton h={300} />;
  const current = shadow.data;
  const moved = draft !== null && (current?.version ?? 0) !== (draft.from?.version ?? 0);
  const rebase = async () => {
    const fresh = await queries.fetchQuery({ queryKey: key, staleTime: 0 });
    save.reset();
    setDraft((old) => old && { ...old, from: (fresh as ShadowDocument | null) ?? null });
  };

  if (current === null && draft === null) {
    return (
      <Panel>
        <Empty
          icon={CloudOff}
          title={name === "" ? "This thing has no classic shadow" : `No shadow ${name} yet`}
          action={mayUpdate && <Button onClick={() => start(null)}>Write one</Button>}
        >
          A shadow holds what a device reported last and what it shall do, also while it is away.
        </Empty>
      </Panel>
    );
  }
  return (
    <Panel
      title={name === "" ? "Classic shadow" : name}
      aside={
        <>
          {current && (
            <Text size="xs" c="dimmed">
              Version {current.version}, <When at={current.timestamp} />
            </Text>
          )}
          {mayUpdate && draft === null && (
            <Button size="xs" variant="default" onClick={() => start(current)}>
              Edit
            </Button>
          )}
          {current && draft === null && <Remove thing={thing} name={name} />}
        </>
      }
    >
      {draft === null ? (
        <Read shadow={current} />
      ) : (
        <form
          onSubmit={(event) => {
            event.preventDefault();
            if (change) save.mutate(change);
          }}
        >
          <Stack>
            {(isConflict(save.error) || moved) && (
              <Alert color="orange" variant="light" title="The shadow has changed since you began" role="alert">
                <Text size="sm">
                  It is at version {current?.version ?? 0}, you began with {draft.from?.version ?? 0}. Keep your text
                  and save it over the new version, or start over from what is there now.
                </Text>
                <Group gap="xs" mt="xs">
                  <Button size="xs" variant="default" onClick={() => void rebase()}>
                    Keep my text
                  </Button>
                  <Button size="xs" variant="default" onClick={() => start(current)}>
                    Start over
                  </Button>
                </Group>
              </Alert>
            )}
            {save.error && !isConflict(save.error) && (
              <ErrorPanel error={save.error} title="The shadow was not saved" />
            )}
            <Columns>
              <StateInput
                label="Desired"
                value={draft.desired}
                parsed={desired}
                onChange={(value) => setDraft({ ...draft, desired: value })}
              />
              <StateInput
                label="Reported"
                value={draft.reported}
                parsed={reported}
                onChange={(value) => setDraft({ ...draft, reported: value })}
              />
            </Columns>
            <Group justify="flex-end" gap="xs">
              <Button size="xs" variant="default" onClick={() => setDraft(null)}>
                Cancel
              </Button>
              <Button size="xs" type="submit" loading={save.isPending} disabled={change === null}>
                Save
              </Button>
            </Group>
          </Stack>
        </form>
      )}
    </Panel>
  );
}

function changeOf(draft: Draft, desired: JsonObject, reported: JsonObject): JsonObject | null {
  const state: JsonObject = {};
  const one = patch(draft.from?.state.desired ?? {}, desired);
  const other = patch(draft.from?.state.reported ?? {}, reported);
  if (one !== undefined) state.desired = one;
  if (other !== undefined) state.reported = other;
  return Object.keys(state).length === 0 ? null : state;
}

function StateInput(props: {
  label: string;
  value: string;
  parsed: ReturnType<typeof parseState> | null;
  onChange: (value: string) => void;
}) {
  return (
    <JsonInput
      label={props.label}
      autosize
      minRows={8}
      maxRows={28}
      value={props.value}
      onChange={props.onChange}
      error={props.parsed && "mistake" in props.parsed ? props.parsed.mistake : null}
      styles={{ input: { fontFamily: "var(--mantine-font-family-monospace)", fontSize: "0.7813rem" } }}
    />
  );
}

function Read({ shadow }: { shadow: ShadowDocument | null }) {
  const delta = shadow?.state.delta;
  return (
    <Stack>
      <Columns>
        <div>
          <Text fw={550} mb={6}>
            Desired
          </Text>
          <CodeBlock text={text(shadow?.state.desired)} label="the desired state" />
        </div>
        <div>
          <Text fw={550} mb={6}>
            Reported
          </Text>
          <CodeBlock text={text(shadow?.state.reported)} label="the reported state" />
        </div>
      </Columns>
      <div>
        <Group gap="xs" mb={6}>
          <Text fw={550}>Delta</Text>
          <Badge size="sm" color={delta ? "orange" : "green"}>
            {delta ? "differs" : "in step"}
          </Badge>
        </Group>
        {delta ? (
          <CodeBlock text={text(delta)} label="the delta" />
        ) : (
          <Text size="sm" c="dimmed">
            The device has reported all that is desired.
          </Text>
        )}
      </div>
    </Stack>
  );
}

function Remove({ thing, name }: { thing: string; name: string }) {
  const [opened, dialog] = useDisclosure(false);
  const allowed = useMay("iot:DeleteThingShadow");
  const remove = useAction({
    run: () => call("iot-data", "DeleteThingShadow", { thingName: thing, ...(name !== "" && { shadowName: name }) }),
    done: () => "The shadow is deleted.",
    refresh: [["iot-data"]],
    onDone: dialog.close,
  });
  if (!allowed) return null;
  return (
    <>
      <Button size="xs" variant="default" leftSection={<Trash2 size={13} aria-hidden />} onClick={dialog.open}>
        Delete
      </Button>
      <Confirm
        opened={opened}
        onClose={dialog.close}
        onConfirm={() => remove.mutate()}
        busy={remove.isPending}
        title="Delete this shadow?"
        verb="Delete"
      >
        The state of <Code>{thing}</Code> is gone until the device reports again.
      </Confirm>
    </>
  );
}
