// One flow in the designer: loads a revision, saves new ones, leads on to the deployment.
import { Badge, Button, Center, Group, Loader, Text } from "@mantine/core";
import { useQueryClient } from "@tanstack/react-query";
import { Rocket, Save } from "lucide-react";
import { useEffect, useState } from "react";
import { useAction } from "../api/call.ts";
import { useMay } from "../api/may.tsx";
import { urnName } from "../models/urn.ts";
import { Empty } from "../ui/empty.tsx";
import { ErrorPanel } from "../ui/error-panel.tsx";
import { ButtonLink, TextLink, useGo, useParam, useSetParams } from "../ui/link.tsx";
import { TEMPLATE_KEYS, type TemplateSummary, useTemplate, writeTemplate } from "./api.ts";
import { useDocument, useDocumentSession } from "./context.ts";
import classes from "./design-page.module.css";
import { flowKey } from "./drawing.ts";
import { emptyFlow } from "./new-flow.tsx";
import { Revisions } from "./revisions.tsx";
import { currentFlow } from "./session.ts";
import { useLeaveGuard } from "./use-leave-guard.ts";
import { useFlowPalette } from "./use-palette.ts";
import { Workbench } from "./workbench.tsx";

export function DesignPage() {
  const urn = useParam("flow");
  const draft = useParam("draft") === "new";
  const revision = useParam("revision");
  const template = useTemplate("Flow", urn, revision ? Number(revision) : undefined);
  // What was opened stays open: a reload of the query after saving must not replace what is being drawn.
  const [opened, setOpened] = useState<{ key: string; text: string; revision: number } | null>(null);
  const key = `${urn ?? ""} ${revision ?? ""}`;
  useEffect(() => {
    if (!urn || !template.isSuccess || opened?.key === key) return;
    if (template.data)
      setOpened({ key, text: template.data.definition.text, revision: template.data.summary.revisionNumber });
    else if (draft) setOpened({ key, text: emptyFlow(urn, urnName(urn).split("/").at(-1) ?? "Flow"), revision: 0 });
  }, [urn, key, draft, template.isSuccess, template.data, opened]);

  if (!urn) {
    return (
      <Empty icon={Save} title="Which flow?" action={<ButtonLink to="/flows">All flows</ButtonLink>}>
        This page shows one flow. Choose it from the list.
      </Empty>
    );
  }
  if (opened?.key === key)
    return <Design key={key} urn={urn} text={opened.text} revision={opened.revision} old={revision !== undefined} />;
  return (
    <Center h="100%" p="md">
      {template.isError ? (
        <ErrorPanel error={template.error} retry={() => void template.refetch()} />
      ) : template.isSuccess && !draft && template.data === null ? (
        <Empty icon={Save} title="This flow does not exist" action={<ButtonLink to="/flows">All flows</ButtonLink>}>
          {urn}
        </Empty>
      ) : (
        <Loader aria-label="Opening the flow" />
      )}
    </Center>
  );
}

function Design({ urn, text, revision, old }: { urn: string; text: string; revision: number; old: boolean }) {
  const session = useDocumentSession(text);
  const state = useDocument(session);
  const queries = useQueryClient();
  const go = useGo();
  const setParams = useSetParams();
  const [saved, setSaved] = useState(revision);
  const palette = useFlowPalette();
  const flow = currentFlow(state);
  const name = flow?.name ?? urnName(urn);
  const dirty = state.text !== state.savedText || saved === 0;
  const maySave = useMay(saved === 0 ? "iotthingsgraph:CreateFlowTemplate" : "iotthingsgraph:UpdateFlowTemplate");
  const errors = state.drawing?.diagnostics.filter((found) => found.severity === "error").length ?? 0;
  useEffect(() => {
    document.title = `${name} · Flows · Marram`;
  }, [name]);
  const save = useAction<void, { summary: TemplateSummary; text: string }>({
    run: async () => {
      const current = session.get();
      const id = flow ? flowKey(flow) : urn;
      return { summary: await writeTemplate("Flow", id, current.text), text: current.text };
    },
    done: ({ summary }) => `Saved as revision ${summary.revisionNumber}`,
    onDone: ({ summary, text: written }) => {
      session.saved(written);
      setSaved(summary.revisionNumber);
      for (const queryKey of TEMPLATE_KEYS.filter(([, operation]) => operation !== "GetFlowTemplate"))
        void queries.invalidateQueries({ queryKey });
      if (summary.id.toLowerCase() !== urn.toLowerCase() || old)
        setParams({ flow: summary.id, draft: undefined, revision: undefined });
    },
  });
  const unsaved = state.text !== state.savedText;
  useLeaveGuard(unsaved, "This flow has changes that are not saved. Leave anyway?");
  const trySave = () => {
    if (dirty && maySave && !save.isPending) save.mutate();
  };
  return (
    <Workbench
      session={session}
      palette={palette}
      onSave={trySave}
      title={
        <div className={classes.title}>
          <Text size="xs" component="nav" aria-label="Breadcrumb">
            <TextLink to="/flows">Flows</TextLink>
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
          <Revisions kind="Flow" urn={urn} current={saved} />
          <Button
            size="xs"
            variant="default"
            leftSection={<Save size={14} aria-hidden />}
            loading={save.isPending}
            disabled={!dirty || maySave !== true || errors > 0}
            title={errors > 0 ? "The server takes flows without errors only" : undefined}
            onClick={trySave}
          >
            Save
          </Button>
          <Button
            size="xs"
            leftSection={<Rocket size={14} aria-hidden />}
            disabled={saved === 0 || dirty}
            title={dirty ? "Save first: what is deployed is what is saved" : undefined}
            onClick={() => go({ to: "/flows/deploy", search: { flow: urn } })}
          >
            Deploy
          </Button>
        </>
      }
    />
  );
}
