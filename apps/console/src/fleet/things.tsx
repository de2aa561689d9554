// All things of the account: pages by token, rows only near the window, so that 100,000 are no burden.
import { Button, Group, Modal, Stack, TextInput } from "@mantine/core";
import { useDisclosure } from "@mantine/hooks";
import { Cpu, Plus, Search } from "lucide-react";
import { useState } from "react";
import { call, useAction, usePages } from "../api/call.ts";
import { May, useMay } from "../api/may.tsx";
import { DataTable } from "../ui/data-table.tsx";
import { Empty } from "../ui/empty.tsx";
import { ErrorPanel } from "../ui/error-panel.tsx";
import { TextLink, useGo, useParam, useSetParams } from "../ui/link.tsx";
import { Page } from "../ui/page.tsx";
import { Panel } from "../ui/panel.tsx";
import type { Thing } from "./types.ts";

const PAGE_SIZE = 250;

export function ThingsPage() {
  const go = useGo();
  const setParams = useSetParams();
  const attribute = useParam("attribute");
  const value = useParam("value");
  const mayDescribe = useMay("iot:DescribeThing");
  const things = usePages<{ things: Thing[] }, Thing>(
    "iot",
    "ListThings",
    { maxResults: PAGE_SIZE, ...(attribute && value && { attributeName: attribute, attributeValue: value }) },
    { items: (output) => output.things },
  );
  const [wanted, setWanted] = useState("");
  return (
    <Page
      title="Things"
      description="Every device and gateway that the registry knows."
      actions={
        <May action="iot:CreateThing">
          <NewThing />
        </May>
      }
    >
      <Panel
        flush
        aside={
          <Group gap="xs">
            {attribute && value && (
              <Button size="xs" variant="light" onClick={() => setParams({ attribute: undefined, value: undefined })}>
                {attribute} = {value} ×
              </Button>
            )}
            {mayDescribe && (
              <form
                onSubmit={(event) => {
                  event.preventDefault();
                  if (wanted.trim() !== "") go({ to: "/thing", search: { name: wanted.trim() } });
                }}
              >
                <TextInput
                  size="xs"
                  w={260}
                  aria-label="Open a thing by its name"
                  placeholder="Open a thing by its name"
                  leftSection={<Search size={14} aria-hidden />}
                  value={wanted}
                  onChange={(event) => setWanted(event.currentTarget.value)}
                />
              </form>
            )}
          </Group>
        }
      >
        <DataTable
          label="things"
          rows={things.items}
          rowKey={(thing) => thing.thingName}
          source={things}
          loadingRows={12}
          columns={[
            {
              key: "name",
              header: "Thing",
              cell: (thing) => (
                <TextLink to="/thing" search={{ name: thing.thingName }} fw={550}>
                  {thing.thingName}
                </TextLink>
              ),
            },
            { key: "type", header: "Type", width: 160, wide: true, cell: (thing) => thing.thingTypeName ?? "–" },
            {
              key: "attributes",
              header: "Attributes",
              cell: (thing) => (
                <Group gap={8}>
                  {Object.entries(thing.attributes ?? {}).map(([name, one]) => (
                    <TextLink
                      key={name}
                      to="/things"
                      search={{ attribute: name, value: one }}
                      c="dimmed"
                      title="Only things with this attribute"
                    >
                      {name}={one}
                    </TextLink>
                  ))}
                </Group>
              ),
            },
            { key: "version", header: "Version", width: 90, numeric: true, wide: true, cell: (thing) => thing.version },
          ]}
          empty={
            attribute ? (
              <Empty icon={Cpu} title="No thing has this attribute" />
            ) : (
              <Empty icon={Cpu} title="No thing yet">
                Things are made here, by fleet provisioning when a device connects for the first time, or with any IoT
                client.
              </Empty>
            )
          }
        />
      </Panel>
    </Page>
  );
}

function NewThing() {
  const [opened, dialog] = useDisclosure(false);
  const [name, setName] = useState("");
  const go = useGo();
  const create = useAction({
    run: () => call("iot", "CreateThing", { thingName: name.trim() }),
    done: () => `${name.trim()} is in the registry.`,
    refresh: [["iot", "ListThings"]],
    onDone: () => go({ to: "/thing", search: { name: name.trim() } }),
    quiet: true,
  });
  return (
    <>
      <Button leftSection={<Plus size={16} aria-hidden />} onClick={dialog.open}>
        New thing
      </Button>
      <Modal opened={opened} onClose={dialog.close} title="New thing" closeButtonProps={{ "aria-label": "Close" }}>
        <form
          onSubmit={(event) => {
            event.preventDefault();
            create.mutate();
          }}
        >
          <Stack>
            {create.error && <ErrorPanel error={create.error} />}
            <TextInput
              label="Name"
              description="It stays for good. Devices use it as their client id."
              data-autofocus
              autoComplete="off"
              value={name}
              onChange={(event) => setName(event.currentTarget.value)}
            />
            <Group justify="flex-end">
              <Button type="submit" loading={create.isPending} disabled={name.trim() === ""}>
                Create
              </Button>
            </Group>
          </Stack>
        </form>
      </Modal>
    </>
  );
}
