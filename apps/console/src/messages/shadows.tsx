// The shadows of a thing: classic and named; desired, reported and what differs.
import { Button, Group, Modal, NavLink, Skeleton, Stack, TextInput } from "@mantine/core";
import { useDisclosure } from "@mantine/hooks";
import { Plus } from "lucide-react";
import { useState } from "react";
import { usePages } from "../api/call.ts";
import { May } from "../api/may.tsx";
import { ErrorPanel } from "../ui/error-panel.tsx";
import { useParam, useSetParams } from "../ui/link.tsx";
import { Panel } from "../ui/panel.tsx";
import { Shadow } from "./shadow.tsx";
import classes from "./shadows.module.css";

export function Shadows({ thing }: { thing: string }) {
  const setParams = useSetParams();
  const chosen = useParam("shadow") ?? "";
  const named = usePages<{ results: string[] }, string>(
    "iot-data",
    "ListNamedShadowsForThing",
    { thingName: thing },
    { items: (output) => output.results },
  );
  const names = named.items.includes(chosen) || chosen === "" ? named.items : [...named.items, chosen];
  return (
    <div className={classes.split}>
      <Panel title="Shadows" flush>
        {named.error && <ErrorPanel error={named.error} />}
        <NavLink
          component="button"
          label="Classic"
          active={chosen === ""}
          onClick={() => setParams({ shadow: undefined })}
        />
        {named.isPending && <Skeleton h={30} m="sm" />}
        {names.map((name) => (
          <NavLink
            key={name}
            component="button"
            label={name}
            active={chosen === name}
            onClick={() => setParams({ shadow: name })}
          />
        ))}
        {named.hasNextPage && (
          <Button size="xs" variant="subtle" onClick={() => void named.fetchNextPage()}>
            More
          </Button>
        )}
        <May action="iot:UpdateThingShadow">
          <NewShadow onName={(name) => setParams({ shadow: name })} />
        </May>
      </Panel>
      <Shadow key={chosen} thing={thing} name={chosen} />
    </div>
  );
}

function NewShadow({ onName }: { onName: (name: string) => void }) {
  const [opened, dialog] = useDisclosure(false);
  const [name, setName] = useState("");
  const valid = /^[a-zA-Z0-9:_-]{1,64}$/.test(name);
  return (
    <>
      <Button size="xs" variant="subtle" m="xs" leftSection={<Plus size={14} aria-hidden />} onClick={dialog.open}>
        Named shadow
      </Button>
      <Modal
        opened={opened}
        onClose={dialog.close}
        title="New named shadow"
        closeButtonProps={{ "aria-label": "Close" }}
      >
        <form
          onSubmit={(event) => {
            event.preventDefault();
            if (!valid) return;
            onName(name);
            dialog.close();
          }}
        >
          <Stack>
            <TextInput
              label="Name"
              description="Letters, digits, - _ and :"
              data-autofocus
              value={name}
              onChange={(event) => setName(event.currentTarget.value)}
            />
            <Group justify="flex-end">
              <Button type="submit" disabled={!valid}>
                Go on
              </Button>
            </Group>
          </Stack>
        </form>
      </Modal>
    </>
  );
}
