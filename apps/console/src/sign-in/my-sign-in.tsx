// How I sign in: my passkeys and my password, added, named and removed by myself.
import { Badge, Button, Group, Modal, Stack, Text, TextInput } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { Fingerprint, Plus } from "lucide-react";
import { useState } from "react";
import { useAction } from "../api/call.ts";
import { postJson } from "../api/client.ts";
import { makePasskey } from "../api/passkey.ts";
import { usePasskeysHere, useSession } from "../api/session.ts";
import { Confirm } from "../ui/confirm.tsx";
import { DataTable } from "../ui/data-table.tsx";
import { Empty } from "../ui/empty.tsx";
import { ErrorPanel } from "../ui/error-panel.tsx";
import { Page } from "../ui/page.tsx";
import { Panel } from "../ui/panel.tsx";
import { When } from "../ui/when.tsx";
import { PasswordForm } from "./password-form.tsx";

interface Passkey {
  id: string;
  name: string;
  /** The host it was made at; it works nowhere else. */
  host: string;
  usable: boolean;
  /** Kept by a password manager that copies it to other devices. */
  synced: boolean;
  created: number;
  used: number | null;
}

interface Methods {
  password: boolean;
  passkeys: Passkey[];
  limit: number;
}

const KEY = ["my", "methods"];
/** What changes with a way in: the list, and what proving again offers. */
const CHANGED = [KEY, ["session"]];

export function MySignInPage() {
  const methods = useQuery({ queryKey: KEY, queryFn: () => postJson<Methods>("my/methods", {}) });
  return (
    <Page
      title="My sign-in"
      description="The ways you sign in. One of them always stays; a change ends your other sessions."
    >
      <Passkeys methods={methods.data} source={methods} />
      {methods.data && <Password methods={methods.data} />}
    </Page>
  );
}

function Passkeys({ methods, source }: { methods: Methods | undefined; source: ReturnType<typeof useQuery> }) {
  const here = usePasskeysHere();
  const { passkeys: party } = useSession();
  const [adding, setAdding] = useState(false);
  const [renamed, setRenamed] = useState<Passkey | null>(null);
  const [removed, setRemoved] = useState<Passkey | null>(null);
  const remove = useAction({
    run: (passkey: Passkey) => postJson("my/passkey-remove", { id: passkey.id }),
    done: (_, passkey) => `${passkey.name} opens nothing any more.`,
    refresh: CHANGED,
    onDone: () => setRemoved(null),
  });
  const full = methods !== undefined && methods.passkeys.length >= methods.limit;
  return (
    <Panel
      title="Passkeys"
      flush
      aside={
        here && (
          <Button
            size="compact-sm"
            leftSection={<Plus size={14} aria-hidden />}
            disabled={full}
            onClick={() => setAdding(true)}
          >
            Add a passkey
          </Button>
        )
      }
    >
      <DataTable
        label="passkeys"
        rows={methods?.passkeys ?? []}
        rowKey={(passkey) => passkey.id}
        source={source}
        loadingRows={2}
        columns={[
          {
            key: "name",
            header: "Name",
            cell: (passkey) => (
              <Group gap="xs">
                {passkey.name}
                {passkey.synced && (
                  <Badge variant="light" size="sm">
                    synced
                  </Badge>
                )}
                {!passkey.usable && (
                  <Badge variant="light" color="gray" size="sm">
                    for {passkey.host}
                  </Badge>
                )}
              </Group>
            ),
          },
          { key: "created", header: "Added", wide: true, cell: (passkey) => <When at={passkey.created} /> },
          { key: "used", header: "Last used", wide: true, cell: (passkey) => <When at={passkey.used ?? undefined} /> },
          {
            key: "acts",
            header: "",
            cell: (passkey) => (
              <Group gap={4} justify="flex-end" wrap="nowrap">
                <Button
                  size="compact-xs"
                  variant="default"
                  aria-label={`Rename ${passkey.name}`}
                  onClick={() => setRenamed(passkey)}
                >
                  Rename
                </Button>
                <Button
                  size="compact-xs"
                  variant="default"
                  aria-label={`Remove ${passkey.name}`}
                  onClick={() => setRemoved(passkey)}
                >
                  Remove
                </Button>
              </Group>
            ),
          },
        ]}
        empty={
          <Empty icon={Fingerprint} title="No passkey yet">
            {here
              ? "A passkey replaces password and code, and no false page can ask for it."
              : party
                ? `Passkeys belong to a host name: open the console at ${party.origin}.`
                : "Passkeys need a console with a host name; browsers keep none for an IP address."}
          </Empty>
        }
      />
      <Named
        title="Add a passkey"
        verb="Create"
        opened={adding}
        initial=""
        onClose={() => setAdding(false)}
        save={async (name) => postJson("my/passkey-add", await makePasskey("add", name))}
        done={(name) => `${name} is one of your ways in.`}
      />
      <Named
        key={renamed?.id}
        title="Rename the passkey"
        verb="Save"
        opened={renamed !== null}
        initial={renamed?.name ?? ""}
        onClose={() => setRenamed(null)}
        save={(name) => postJson("my/passkey-rename", { id: renamed?.id, name })}
        done={() => "The name is saved."}
      />
      <Confirm
        opened={removed !== null}
        onClose={() => setRemoved(null)}
        onConfirm={() => removed && remove.mutate(removed)}
        title={`Remove ${removed?.name ?? ""}?`}
        verb="Remove"
        busy={remove.isPending}
      >
        It will not open the console any more. Delete it on the device, too.
      </Confirm>
    </Panel>
  );
}

function Named(props: {
  title: string;
  verb: string;
  opened: boolean;
  initial: string;
  onClose: () => void;
  save: (name: string) => Promise<unknown>;
  done: (name: string) => string;
}) {
  const [name, setName] = useState(props.initial);
  const save = useAction({
    run: () => props.save(name.trim()),
    done: () => props.done(name.trim()),
    refresh: CHANGED,
    onDone: () => {
      setName("");
      props.onClose();
    },
    quiet: true,
  });
  return (
    <Modal
      opened={props.opened}
      onClose={props.onClose}
      title={props.title}
      closeButtonProps={{ "aria-label": "Close" }}
    >
      <form
        onSubmit={(event) => {
          event.preventDefault();
          save.mutate();
        }}
      >
        <Stack>
          {save.error && <ErrorPanel error={save.error} />}
          <TextInput
            label="Name of the passkey"
            description="Where it lives: a laptop, a phone, the key in the drawer."
            data-autofocus
            autoComplete="off"
            maxLength={64}
            value={name}
            onChange={(event) => setName(event.currentTarget.value)}
          />
          <Group justify="flex-end">
            <Button type="submit" loading={save.isPending} disabled={name.trim() === ""}>
              {props.verb}
            </Button>
          </Group>
        </Stack>
      </form>
    </Modal>
  );
}

function Password({ methods }: { methods: Methods }) {
  const { user } = useSession();
  const [begun, setBegun] = useState<{ secret: string; uri: string } | null>(null);
  const [removing, setRemoving] = useState(false);
  const begin = useAction({
    run: () => postJson<{ secret: string; uri: string }>("my/password-begin", {}),
    onDone: setBegun,
  });
  const set = useAction({
    run: (input: { password: string; code: string }) => postJson("my/password-set", input),
    done: () => "The password is set.",
    refresh: CHANGED,
    onDone: () => setBegun(null),
    quiet: true,
  });
  const remove = useAction({
    run: () => postJson("my/password-remove", {}),
    done: () => "The password is removed.",
    refresh: CHANGED,
    onDone: () => setRemoving(false),
  });
  return (
    <Panel title="Password and authenticator app">
      <Stack gap="md">
        <Text size="sm">
          {methods.password
            ? "You have a password and an authenticator app. Setting them anew replaces both."
            : "You have no password. It is another way in, together with the codes of an authenticator app."}
        </Text>
        {begun === null ? (
          <Group gap="xs">
            <Button variant="default" loading={begin.isPending} onClick={() => begin.mutate()}>
              {methods.password ? "Change the password" : "Set a password"}
            </Button>
            {methods.password && (
              <Button variant="default" onClick={() => setRemoving(true)}>
                Remove the password
              </Button>
            )}
          </Group>
        ) : (
          <PasswordForm
            user={user}
            secret={begun.secret}
            uri={begun.uri}
            verb="Set the password"
            busy={set.isPending}
            error={set.error}
            onSubmit={(input, clear) => set.mutate(input, { onError: clear })}
          />
        )}
      </Stack>
      <Confirm
        opened={removing}
        onClose={() => setRemoving(false)}
        onConfirm={() => remove.mutate()}
        title="Remove the password?"
        verb="Remove the password"
        busy={remove.isPending}
      >
        From then on only your passkeys sign you in.
      </Confirm>
    </Panel>
  );
}
