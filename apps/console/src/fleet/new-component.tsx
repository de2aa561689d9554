// A new component, or a new version of one, from a recipe.
import { Button, FileButton, Group, Stack, Textarea } from "@mantine/core";
import { Upload } from "lucide-react";
import { useState } from "react";
import { call, showError, useAction } from "../api/call.ts";
import { ErrorPanel } from "../ui/error-panel.tsx";
import { encodeText } from "../ui/format.ts";
import { useGo } from "../ui/link.tsx";
import { Page } from "../ui/page.tsx";
import { Panel } from "../ui/panel.tsx";

/** The most a recipe may have, in bytes (control-plane-api.md 7.1). */
const MAX_RECIPE_BYTES = 16 * 1024;

const FIRST = `{
  "RecipeFormatVersion": "2020-01-25",
  "ComponentName": "com.example.Hello",
  "ComponentVersion": "1.0.0",
  "ComponentDescription": "Says hello every minute",
  "ComponentPublisher": "Me",
  "Manifests": [
    {
      "Platform": { "os": "linux" },
      "Lifecycle": { "run": "while true; do echo hello; sleep 60; done" }
    }
  ]
}
`;

export function NewComponentPage() {
  const [text, setText] = useState(FIRST);
  const go = useGo();
  const create = useAction({
    run: () =>
      call<{ componentName: string; componentVersion: string }>("greengrassv2", "CreateComponentVersion", {
        inlineRecipe: encodeText(text),
      }),
    done: (made) => `${made.componentName} ${made.componentVersion} is ready to be deployed.`,
    refresh: [["greengrassv2"]],
    onDone: (made) => go({ to: "/component", search: { name: made.componentName, version: made.componentVersion } }),
    quiet: true,
  });
  const read = async (file: File | null) => {
    if (file === null) return;
    if (file.size > MAX_RECIPE_BYTES) showError(new Error(`${file.name} is too large to be a recipe`));
    else setText(await file.text());
  };
  return (
    <Page
      title="New component"
      parent={{ label: "Components", to: "/components" }}
      description="A recipe in JSON or YAML. The same name with a higher version makes a new version of the component."
      actions={
        <FileButton onChange={(file) => void read(file)} accept=".json,.yaml,.yml">
          {(props) => (
            <Button variant="default" leftSection={<Upload size={15} aria-hidden />} {...props}>
              Read a file
            </Button>
          )}
        </FileButton>
      }
    >
      <Panel>
        <form
          onSubmit={(event) => {
            event.preventDefault();
            create.mutate();
          }}
        >
          <Stack>
            {create.error && <ErrorPanel error={create.error} title="The recipe was not accepted" />}
            <Textarea
              label="Recipe"
              value={text}
              onChange={(event) => setText(event.currentTarget.value)}
              autosize
              minRows={16}
              maxRows={32}
              spellCheck={false}
              styles={{ input: { fontFamily: "var(--mantine-font-family-monospace)", fontSize: "0.8125rem" } }}
            />
            <Group justify="flex-end">
              <Button type="submit" loading={create.isPending} disabled={text.trim() === ""}>
                Create version
              </Button>
            </Group>
          </Stack>
        </form>
      </Panel>
    </Page>
  );
}
