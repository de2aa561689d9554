// One system in the designer: its devices, services and flows as a drawing beside their text.
import { Badge, Button, Center, Group, Loader, Text } from "@mantine/core";
import { useQueryClient } from "@tanstack/react-query";
import { Network, Save } from "lucide-react";
import { useEffect, useState } from "react";
import { useAction } from "../api/call.ts";
import { useMay } from "../api/may.tsx";
import { urnName } from "../models/urn.ts";
import { quote } from "../tdm-editor/lexer.ts";
import { Empty } from "../ui/empty.tsx";
import { ErrorPanel } from "../ui/error-panel.tsx";
import { ButtonLink, TextLink, useParam, useSetParams } from "../ui/link.tsx";
import { TEMPLATE_KEYS, type TemplateSummary, useTemplate, writeTemplate } from "./api.ts";
import { BoardInspector } from "./board-inspector.tsx";
import { useDocument, useDocumentSession } from "./context.ts";
import classes from "./design-page.module.css";
import { SYSTEM_DESK } from "./desk.ts";
import { flowKey } from "./drawing.ts";
import { Revisions } from "./revisions.tsx";
import { useLeaveGuard } from "./use-leave-guard.ts";
import { useRolePalette } from "./use-palette.ts";
import { Workbench } from "./workbench.tsx";

/** The text of a system without roles. */
function emptySystem(urn: string): string {
  const name = urnName(urn).split("/").at(-1) ?? "System";
  return `type ${name} @systemType(id: ${quote(urn)}) {\n}\n`;
}

export function SystemPage() {
  const urn = useParam("system");
  const draft = useParam("draft") === "new";
  const revision = useParam("revision");
  const template = useTemplate("System", urn, revision ? Number(revision) : undefined);
  // What was opened stays open: a reload of the query after saving must not replace what is being drawn.
  const [opened, setOpened] = useState<{ key: string; text: string; revision: number } | null>(null);
  const key = `${urn ?? ""} ${revision ?? ""}`;
  useEffect(() => {
    if (!urn || !template.isSuccess || opened?.key === key) return;
    if (template.data)
      setOpened({ key, text: template.data.definition.text, revision: template.data.summary.revisionNumber });
    else if (draft) setOpened({ key, text: emptySystem(urn), revision: 0 });
  }, [urn, key, draft, template.isSuccess, template.data, opened]);
  if (urn && opened?.key === key)
    return <Design key={key} urn={urn} text={opened.text} revision={opened.revision} old={revision !== undefined} />;
  return (
    <Center h="100%" p="md">
      {template.isError ? (
        <ErrorPanel error={template.error} retry={() => void template.refetch()} />
      ) : !urn || (template.isSuccess && !draft && template.data === null) ? (
        <Empty
          icon={Network}
          title="There is no such system"
          action={<ButtonLink to="/systems">All systems</ButtonLink>}
        >
          {urn}
        </Empty>
      ) : (
        <Loader aria-label="Opening the system" />
      )}
    </Center>
  );
}

function Design({ urn, text, revision, old }: { urn: string; text: string; revision: number; old: boolean }) {
  const session = useDocumentSession(text);
  const state = useDocument(session);
  const queries = useQueryClient();
  const setParams = useSetParams();
  const palette = useRolePalette(urn);
  const [saved, setSaved] = useState(revision);
  const system = SYSTEM_DESK.subject(state.drawing, state.flow);
  const name = system?.name ?? urnName(urn);
  const unsaved = state.text !== state.savedText;
  const dirty = unsaved || saved === 0;
  const maySave = useMay(saved === 0 ? "iotthingsgraph:CreateSystemTemplate" : "iotthingsgraph:UpdateSystemTemplate");
  const errors = state.drawing?.diagnostics.filter((found) => found.severity === "error").length ?? 0;
  useEffect(() => {
    document.title = `${name} · Systems · Marram`;
  }, [name]);
  useLeaveGuard(unsaved, "This system has changes that are not saved. Leave anyway?");
  const save = useAction<void, { summary: TemplateSummary; text: string }>({
    run: async () => {
      const current = session.get();
      const id = system ? flowKey(system) : urn;
      return { summary: await writeTemplate("System", id, current.text), text: current.text };
    },
    done: ({ summary }) => `Saved as revision ${summary.revisionNumber}`,
    onDone: ({ summary, text: written }) => {
      session.saved(written);
      setSaved(summary.revisionNumber);
      for (const queryKey of TEMPLATE_KEYS.filter(([, operation]) => operation !== "GetSystemTemplate"))
        void queries.invalidateQueries({ queryKey });
      if (summary.id.toLowerCase() !== urn.toLowerCase() || old)
        setParams({ system: summary.id, draft: undefined, revision: undefined });
    },
  });
  const trySave = () => {
    if (dirty && maySave && !save.isPending) save.mutate();
  };
  return (
    <Workbench
      session={session}
      desk={SYSTEM_DESK}
      palette={palette}
      inspector={(chosen) => <BoardInspector {...chosen} library={palette.library} entries={palette.entries} />}
      onSave={trySave}
      title={
        <div className={classes.title}>
          <Text size="xs" component="nav" aria-label="Breadcrumb">
            <TextLink to="/systems">Systems</TextLink>
          </Text>
          <Group gap={8} wrap="nowrap">
            <h1 className={classes.heading}>{name}</h1>
            <Badge color={dirty ? "yellow" : "gray"} tt="none" className={classes.badge}>
              {saved === 0 ? "not saved yet" : dirty ? "changed" : `revision ${saved}`}
            </Badge>
          </Group>
        </div>
      }
      actions={
        <>
          <Revisions kind="System" urn={urn} current={saved} />
          <Button
            size="xs"
            leftSection={<Save size={14} aria-hidden />}
            loading={save.isPending}
            disabled={!dirty || maySave !== true || errors > 0}
            title={errors > 0 ? "The server takes systems without errors only" : undefined}
            onClick={trySave}
          >
            Save
          </Button>
        </>
      }
    />
  );
}
