// The components of this account.
import { Text } from "@mantine/core";
import { Package, Plus } from "lucide-react";
import { usePages } from "../api/call.ts";
import { May } from "../api/may.tsx";
import { DataTable } from "../ui/data-table.tsx";
import { Empty } from "../ui/empty.tsx";
import { ButtonLink, TextLink } from "../ui/link.tsx";
import { Page } from "../ui/page.tsx";
import { Panel } from "../ui/panel.tsx";
import { When } from "../ui/when.tsx";
import type { ComponentSummary } from "./types.ts";

export function ComponentsPage() {
  const components = usePages<{ components: ComponentSummary[] }, ComponentSummary>(
    "greengrassv2",
    "ListComponents",
    { scope: "PRIVATE" },
    { items: (output) => output.components },
  );
  const add = (
    <May action="greengrass:CreateComponentVersion">
      <ButtonLink to="/new-component" leftSection={<Plus size={16} aria-hidden />}>
        New component
      </ButtonLink>
    </May>
  );
  return (
    <Page
      title="Components"
      description="Software that cores run: a recipe, its artifacts, one version after the other."
      actions={add}
    >
      <Panel flush>
        <DataTable
          label="components"
          rows={components.items}
          rowKey={(one) => one.arn}
          source={components}
          columns={[
            {
              key: "name",
              header: "Component",
              cell: (one) => (
                <>
                  <TextLink to="/component" search={{ name: one.componentName }} fw={550}>
                    {one.componentName}
                  </TextLink>
                  {one.latestVersion?.description && (
                    <Text size="xs" c="dimmed" lineClamp={1}>
                      {one.latestVersion.description}
                    </Text>
                  )}
                </>
              ),
            },
            { key: "version", header: "Latest", width: 120, cell: (one) => one.latestVersion?.componentVersion ?? "–" },
            {
              key: "publisher",
              header: "Publisher",
              width: 160,
              wide: true,
              cell: (one) => one.latestVersion?.publisher || "–",
            },
            {
              key: "when",
              header: "Published",
              width: 150,
              wide: true,
              cell: (one) => <When at={one.latestVersion?.creationTimestamp} />,
            },
          ]}
          empty={
            <Empty icon={Package} title="No component yet" action={add}>
              Paste a recipe to make the first one. Its artifacts lie in the object store, any S3 client can put them
              there.
            </Empty>
          }
        />
      </Panel>
    </Page>
  );
}
