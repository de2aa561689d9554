// One component of a deployment: its version and what of its configuration is changed.
import { Button, CloseButton, Collapse, Group, JsonInput, Select, Stack, TagsInput, Text } from "@mantine/core";
import { useDisclosure } from "@mantine/hooks";
import { usePages } from "../api/call.ts";
import { useSession } from "../api/session.ts";
import classes from "./component-choice.module.css";
import type { Choice } from "./deployment-form.ts";
import type { ComponentVersion } from "./types.ts";

export function ComponentChoice(props: { choice: Choice; onChange: (choice: Choice) => void; onRemove: () => void }) {
  const { choice, onChange } = props;
  const session = useSession();
  const [opened, configuration] = useDisclosure(choice.merge !== "" || choice.reset.length > 0);
  const versions = usePages<{ componentVersions: ComponentVersion[] }, ComponentVersion>(
    "greengrassv2",
    "ListComponentVersions",
    { arn: `arn:aws:greengrass:${session.region}:${session.account}:components:${choice.name}` },
    { items: (output) => output.componentVersions },
  );
  const known = versions.items.map((one) => one.componentVersion);
  return (
    <section className={classes.choice} aria-label={choice.name}>
      <Group justify="space-between" wrap="nowrap" align="center">
        <Text fw={550} className="breakable" flex={1}>
          {choice.name}
        </Text>
        <Select
          size="xs"
          w={140}
          aria-label={`Version of ${choice.name}`}
          data={known.includes(choice.version) || choice.version === "" ? known : [choice.version, ...known]}
          value={choice.version || null}
          onChange={(version) => onChange({ ...choice, version: version ?? "" })}
          allowDeselect={false}
        />
        <CloseButton aria-label={`Leave out ${choice.name}`} onClick={props.onRemove} />
      </Group>
      <Button size="compact-xs" variant="subtle" onClick={configuration.toggle} aria-expanded={opened} mt={4}>
        {opened ? "Hide the configuration" : "Change its configuration"}
      </Button>
      <Collapse expanded={opened}>
        <Stack gap="sm" mt="xs">
          <JsonInput
            label="Merge"
            description="JSON that is merged into the configuration on the core. Lists are replaced."
            placeholder="{}"
            autosize
            minRows={3}
            maxRows={16}
            formatOnBlur
            validationError="This is not JSON"
            value={choice.merge}
            onChange={(merge) => onChange({ ...choice, merge })}
            styles={{ input: { fontFamily: "var(--mantine-font-family-monospace)" } }}
          />
          <TagsInput
            label="Reset first"
            description="JSON pointers such as /interval that go back to the recipe's default. Press Enter after each."
            value={choice.reset}
            onChange={(reset) => onChange({ ...choice, reset })}
          />
        </Stack>
      </Collapse>
    </section>
  );
}
