// One deployment in the designer: which thing plays which role, and the triggers that start its flows.
import { Alert, Badge, Button, Center, Group, List, Loader, Modal, Stack, Text } from "@mantine/core";
import { useQueryClient } from "@tanstack/react-query";
import { Check, CircleAlert, Dot, Radio, Rocket, X } from "lucide-react";
import { useEffect, useState } from "react";
import { useAction } from "../api/call.ts";
import { useMay } from "../api/may.tsx";
import { useLibrary } from "../models/library.ts";
import { urnName } from "../models/urn.ts";
import { Empty } from "../ui/empty.tsx";
import { ErrorPanel } from "../ui/error-panel.tsx";
import { sentence } from "../ui/format.ts";
import { ButtonLink, TextLink, useGo, useParam } from "../ui/link.tsx";
import { type Deployment, GRAPH, IN_PROGRESS, useDeployment } from "./api.ts";
import { BoardInspector } from "./board-inspector.tsx";
import { useDocument, useDocumentSession } from "./context.ts";
import classes from "./design-page.module.css";
import { DEPLOYMENT_DESK } from "./desk.ts";
import { paletteOf } from "./palette.ts";
import { isInTarget, type ReplaceStep, replaceDeployment } from "./replace-deployment.ts";
import { useLeaveGuard } from "./use-leave-guard.ts";
import { Workbench } from "./workbench.tsx";

const ENTITIES = ["DEVICE_MODEL", "DEVICE", "CAPABILITY"] as const;
const PALETTE = { entries: paletteOf([]), isPending: false, error: null };

export function DeploymentPage() {
  const id = useParam("id");
  const read = useDeployment(id);
  // What was opened stays open while its status changes.
  const [opened, setOpened] = useState<Deployment | null>(null);
  const found = read.data?.description;
  useEffect(() => {
    if (found && opened?.summary.id !== found.summary.id) setOpened(found);
  }, [found, opened]);
  if (id && opened && opened.summary.id === found?.summary.id)
    return <Design key={id} deployment={opened} now={found} />;
  return (
    <Center h="100%" p="md">
      {!id || (read.error as { code?: string } | null)?.code === "ResourceNotFoundException" ? (
        <Empty icon={Radio} title="No such deployment" action={<ButtonLink to="/live">All deployments</ButtonLink>}>
          {id}
        </Empty>
      ) : read.isError ? (
        <ErrorPanel error={read.error} retry={() => void read.refetch()} />
      ) : (
        <Loader aria-label="Opening the deployment" />
      )}
    </Center>
  );
}

function Design({ deployment, now }: { deployment: Deployment; now: Deployment }) {
  const { id } = deployment.summary;
  const session = useDocumentSession(deployment.definition.text);
  const state = useDocument(session);
  const library = useLibrary(ENTITIES);
  const mayCreate = useMay("iotthingsgraph:CreateSystemInstance");
  const [asking, setAsking] = useState(false);
  const unsaved = state.text !== state.savedText;
  const errors = state.drawing?.diagnostics.filter((found) => found.severity === "error").length ?? 0;
  const busy = IN_PROGRESS.has(now.summary.status);
  useEffect(() => {
    document.title = `${urnName(id)} · Live · Marram`;
  }, [id]);
  useLeaveGuard(unsaved, "This deployment has changes that are not in use. Leave anyway?");
  const ready = unsaved && mayCreate === true && errors === 0 && !busy;
  return (
    <>
      <Workbench
        session={session}
        desk={DEPLOYMENT_DESK}
        palette={PALETTE}
        inspector={(chosen) => <BoardInspector {...chosen} library={library.all} entries={PALETTE.entries} />}
        onSave={() => ready && setAsking(true)}
        title={
          <div className={classes.title}>
            <Text size="xs" component="nav" aria-label="Breadcrumb">
              <TextLink to="/live">Live</TextLink> /{" "}
              <TextLink to="/live/watch" search={{ id }}>
                {urnName(id)}
              </TextLink>
            </Text>
            <Group gap={8} wrap="nowrap">
              <h1 className={classes.heading}>{urnName(id)}: things and triggers</h1>
              <Badge color={unsaved ? "yellow" : "gray"} tt="none" className={classes.badge}>
                {unsaved ? "changed" : sentence(now.summary.status)}
              </Badge>
            </Group>
          </div>
        }
        actions={
          <Button
            size="xs"
            leftSection={<Rocket size={14} aria-hidden />}
            disabled={!ready}
            title={errors > 0 ? "The server takes deployments without errors only" : undefined}
            onClick={() => setAsking(true)}
          >
            Put it to use…
          </Button>
        }
      />
      {asking && (
        <Replace deployment={now} text={state.text} onClose={() => setAsking(false)} onDone={() => session.saved()} />
      )}
    </>
  );
}

const MARKS = { waiting: Dot, running: Dot, done: Check, failed: X } as const;

function Replace(props: { deployment: Deployment; text: string; onClose: () => void; onDone: () => void }) {
  const { deployment, text, onClose } = props;
  const { summary } = deployment;
  const queries = useQueryClient();
  const go = useGo();
  const [steps, setSteps] = useState<readonly ReplaceStep[]>([]);
  const run = useAction({
    run: () => replaceDeployment(deployment, text, setSteps),
    quiet: true,
    onDone: props.onDone,
  });
  const finish = () => {
    for (const operation of ["SearchSystemInstances", "GetSystemInstance"])
      void queries.invalidateQueries({ queryKey: [GRAPH, operation] });
    onClose();
  };
  return (
    <Modal
      opened
      onClose={() => !run.isPending && finish()}
      title={`Put the changes of “${urnName(summary.id)}” to use`}
      closeButtonProps={{ "aria-label": "Close" }}
    >
      <Stack gap="md">
        <Text size="sm">
          {isInTarget(deployment)
            ? "The server checks the new document first. Then the running deployment is taken back and the new one brought to the target; runs that are under way are stopped. Its history stays."
            : "The server checks the new document first, then takes it in place of the old one."}
        </Text>
        {steps.length > 0 && (
          <List spacing={6} size="sm" role="status" aria-label="Progress" listStyleType="none">
            {steps.map((step) => {
              const Mark = MARKS[step.state];
              return (
                <List.Item
                  key={step.title}
                  icon={step.state === "running" ? <Loader size={13} /> : <Mark size={15} aria-hidden />}
                  {...(step.state === "failed" ? { c: "red" } : {})}
                >
                  {step.title}
                  {step.detail ? ` · ${step.state === "failed" ? step.detail : sentence(step.detail)}` : ""}
                </List.Item>
              );
            })}
          </List>
        )}
        {run.isError && (
          <Alert color="red" icon={<CircleAlert size={17} aria-hidden />} role="alert" className="breakable">
            {run.error.message}
          </Alert>
        )}
        <Group justify="flex-end">
          <Button variant="default" disabled={run.isPending} onClick={finish}>
            {run.isSuccess ? "Close" : "Cancel"}
          </Button>
          {run.isSuccess ? (
            <Button onClick={() => go({ to: "/live/watch", search: { id: summary.id } })}>Watch it run</Button>
          ) : (
            <Button loading={run.isPending} onClick={() => run.mutate()}>
              {run.isError ? "Try again" : "Put it to use"}
            </Button>
          )}
        </Group>
      </Stack>
    </Modal>
  );
}
