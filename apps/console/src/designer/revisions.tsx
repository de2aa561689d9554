// The revisions of a flow or system, to open an older one.
import { Badge, Button, Menu } from "@mantine/core";
import { ChevronDown } from "lucide-react";
import { useState } from "react";
import { useCall } from "../api/call.ts";
import { useGo } from "../ui/link.tsx";
import { GRAPH, type TemplateSummary } from "./api.ts";
import classes from "./design-page.module.css";

const PLACES = {
  Flow: { to: "/flows/design", param: "flow" },
  System: { to: "/systems/design", param: "system" },
} as const;

export function Revisions({ kind, urn, current }: { kind: keyof typeof PLACES; urn: string; current: number }) {
  const [opened, setOpened] = useState(false);
  const revisions = useCall<{ summaries?: TemplateSummary[] }>(
    GRAPH,
    `Get${kind}TemplateRevisions`,
    { id: urn, maxResults: 50 },
    { enabled: opened && current > 0 },
  );
  const go = useGo();
  if (current === 0) return null;
  const { to, param } = PLACES[kind];
  return (
    <Menu opened={opened} onChange={setOpened} position="bottom-end">
      <Menu.Target>
        <Button size="xs" variant="subtle" color="gray" rightSection={<ChevronDown size={14} aria-hidden />}>
          Revisions
        </Button>
      </Menu.Target>
      <Menu.Dropdown mah={320} className={classes.menu}>
        {revisions.isPending && <Menu.Label>Reading…</Menu.Label>}
        {revisions.isError && <Menu.Label>They cannot be read.</Menu.Label>}
        {(revisions.data?.summaries ?? []).map((one) => (
          <Menu.Item
            key={one.revisionNumber}
            rightSection={one.revisionNumber === current ? <Badge size="xs">open</Badge> : undefined}
            onClick={() => go({ to, search: { [param]: urn, revision: String(one.revisionNumber) } })}
          >
            {one.revisionNumber} · {new Date(one.createdAt * 1000).toLocaleString()}
          </Menu.Item>
        ))}
      </Menu.Dropdown>
    </Menu>
  );
}
