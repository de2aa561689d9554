// One deployment as it runs: executions on the left, the drawing with how each step stands, details on the right.
import { Badge, Button, Center, Group, Loader, Select, Switch, Text, TextInput, Tooltip } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { Pencil, Radio, Zap } from "lucide-react";
import { useCallback, useEffect, useMemo, useRef, useState } from "react";
import { type ExecutionSummary, useDeployment, useTemplate } from "../designer/api.ts";
import { Canvas, type CanvasHandle, NOTHING, type Selection } from "../designer/canvas.tsx";
import { readDeployment, readSystem } from "../designer/publish.ts";
import { urnName } from "../models/urn.ts";
import { language } from "../tdm-editor/service.ts";
import { Empty } from "../ui/empty.tsx";
import { ErrorPanel } from "../ui/error-panel.tsx";
import { ButtonLink, TextLink, useGo, useParam, useSetParams } from "../ui/link.tsx";
import { type Act, actsOf, DeploymentAct } from "./deployment-acts.tsx";
import { DeploymentState } from "./deployment-state.tsx";
import { ExecutionList } from "./execution-list.tsx";
import { type HistoryFilter, useExecutions, useWatch } from "./executions.ts";
import { RunPanel } from "./run-panel.tsx";
import { RunContext, RunStore } from "./run-store.ts";
import classes from "./watch-page.module.css";

const RANGES = [
  { value: "3600", label: "last hour" },
  { value: "86400", label: "last day" },
  { value: "604800", label: "last week" },
  { value: "", label: "all" },
];
const STATUSES = ["RUNNING", "SUCCEEDED", "FAILED", "ABORTED"].map((value) => ({ value, label: value.toLowerCase() }));

export function WatchPage() {
  const id = useParam("id");
  const read = useDeployment(id, 4_000);
  if (!id || (read.isError && (read.error as { code?: string }).code === "ResourceNotFoundException")) {
    return (
      <Center h="100%">
        <Empty icon={Radio} title="No such deployment" action={<ButtonLink to="/live">All deployments</ButtonLink>}>
          {id}
        </Empty>
      </Center>
    );
  }
  if (!read.data)
    return (
      <Center h="100%">
        {read.isError ? (
          <ErrorPanel error={read.error} retry={() => void read.refetch()} />
        ) : (
          <Loader aria-label="Opening the deployment" />
        )}
      </Center>
    );
  return <Watch key={id} id={id} deployment={read.data.description} />;
}

type Read = NonNullable<ReturnType<typeof useDeployment>["data"]>["description"];

function Watch({ id, deployment }: { id: string; deployment: Read }) {
  const go = useGo();
  const set = useSetParams();
  const chosen = useParam("execution") ?? null;
  const { summary } = deployment;
  const [filter, setFilter] = useState<HistoryFilter>({ status: null, within: 86_400, execution: "" });
  const [following, setFollowing] = useState(chosen === null);
  const [newest, setNewest] = useState<string | null>(null);
  const [act, setAct] = useState<Act | null>(null);
  const [selection, setSelection] = useState<Selection>(NOTHING);
  const [store] = useState(() => new RunStore());
  const canvas = useRef<CanvasHandle>(null);
  const picked = useCallback((next: Selection) => setSelection(next), []);
  const started = useCallback((execution: string) => setNewest(execution), []);
  const shownRef = useRef<string | null>(null);
  const watched = useWatch(id, shownRef.current ?? chosen, started);
  const live = watched.stream === "open";
  const list = useExecutions(id, filter, live);
  const latest = newest ?? list.data?.[0]?.flowExecutionId ?? null;
  const shown = following ? latest : (chosen ?? list.data?.[0]?.flowExecutionId ?? null);
  shownRef.current = shown;
  const entry: ExecutionSummary | undefined = list.data?.find((one) => one.flowExecutionId === shown);
  const system = useTemplate(
    "System",
    useMemo(() => readDeployment(deployment.definition.text).system || undefined, [deployment.definition.text]),
  );
  const firstFlow = useMemo(
    () => (system.data ? readSystem(system.data.definition.text).flows[0]?.urn : undefined),
    [system.data],
  );
  const flowUrn = entry?.flowTemplateId ?? firstFlow;
  const revision = useMemo(() => {
    const start = watched.messages.find((message) => typeof message.payload.revision === "number");
    return start ? Number(start.payload.revision) : undefined;
  }, [watched.messages]);
  const template = useTemplate("Flow", flowUrn, revision);
  const text = template.data?.definition.text;
  const drawn = useQuery({
    queryKey: ["tdm-flow", text],
    queryFn: ({ signal }) => language.flow(text ?? "", signal),
    enabled: text !== undefined,
    staleTime: Number.POSITIVE_INFINITY,
  });
  const flow = drawn.data?.flows[0];

  useEffect(() => store.set(shown === null ? null : watched.run), [store, watched.run, shown]);
  useEffect(() => {
    document.title = `${urnName(id)} · Live · Marram`;
  }, [id]);
  const choose = (execution: string) => {
    setFollowing(false);
    set({ execution });
  };
  const step = selection.nodes.size === 1 ? ([...selection.nodes][0] ?? null) : null;
  return (
    <RunContext value={store}>
      <div className={classes.page}>
        <header className={classes.bar}>
          <div className={classes.title}>
            <Text size="xs" component="nav" aria-label="Breadcrumb">
              <TextLink to="/live">Live</TextLink>
            </Text>
            <Group gap={8} wrap="nowrap">
              <h1 className={classes.heading}>{urnName(id)}</h1>
              <DeploymentState status={summary.status} />
              <Text size="sm" c="dimmed" className={classes.where}>
                {summary.target === "CLOUD" ? "control plane" : summary.greengrassGroupName}
              </Text>
            </Group>
          </div>
          <Tooltip
            label={live ? "Messages arrive as they happen" : "The stream is not open: the page asks every two seconds"}
          >
            <Badge
              color={live ? "grass" : "gray"}
              tt="none"
              leftSection={<span className={classes.dot} data-live={live || undefined} />}
            >
              {live ? "live" : "asking"}
            </Badge>
          </Tooltip>
          <Group gap={6} wrap="nowrap">
            {actsOf(summary.status).map((one) => (
              <Button
                key={one.act}
                size="xs"
                variant={one.act === "deploy" ? "default" : "subtle"}
                {...(one.act === "deploy" ? {} : { color: "red" })}
                onClick={() => setAct(one.act)}
              >
                {one.label}
              </Button>
            ))}
            <ButtonLink
              to="/live/design"
              search={{ id }}
              size="xs"
              variant="default"
              leftSection={<Zap size={13} aria-hidden />}
            >
              Things and triggers
            </ButtonLink>
            {flowUrn && (
              <ButtonLink
                to="/flows/design"
                search={{ flow: flowUrn }}
                size="xs"
                variant="default"
                leftSection={<Pencil size={13} aria-hidden />}
              >
                Edit the flow
              </ButtonLink>
            )}
          </Group>
        </header>
        <aside className={classes.list} aria-label="Executions">
          <div className={classes.filters}>
            <Switch
              size="xs"
              label="Follow the newest"
              checked={following}
              onChange={(event) => setFollowing(event.currentTarget.checked)}
            />
            <Group gap={6} grow mt={8}>
              <Select
                size="xs"
                aria-label="Status"
                placeholder="any status"
                clearable
                data={STATUSES}
                value={filter.status}
                onChange={(status) => setFilter({ ...filter, status: status as HistoryFilter["status"] })}
              />
              <Select
                size="xs"
                aria-label="Time"
                data={RANGES}
                allowDeselect={false}
                value={filter.within === null ? "" : String(filter.within)}
                onChange={(within) => setFilter({ ...filter, within: within ? Number(within) : null })}
              />
            </Group>
            <TextInput
              size="xs"
              mt={6}
              aria-label="Execution id"
              placeholder="execution id"
              value={filter.execution}
              onChange={(event) => setFilter({ ...filter, execution: event.currentTarget.value })}
            />
          </div>
          <ExecutionList list={list} shown={shown} status={summary.status} onChoose={choose} />
        </aside>
        <section className={classes.canvas} aria-label="Drawing">
          {flow ? (
            <Canvas flow={flow} diagnostics={[]} readOnly handle={canvas} onSelect={picked} />
          ) : (
            <Center h="100%" p="md">
              {template.isError || drawn.isError ? (
                <ErrorPanel error={template.error ?? drawn.error} />
              ) : template.data === null ? (
                <Empty icon={Radio} title="The flow is gone">
                  Its text was deleted after this deployment; the messages on the right still tell what happened.
                </Empty>
              ) : (
                <Loader aria-label="Drawing the flow" />
              )}
            </Center>
          )}
        </section>
        <RunPanel
          run={watched.run}
          messages={watched.messages}
          execution={shown}
          pending={watched.pending}
          error={watched.error}
          step={step}
          flow={flow ?? null}
          onStep={(name) => {
            canvas.current?.select(new Set(name === null ? [] : [name]));
            setSelection(name === null ? NOTHING : { nodes: new Set([name]), edge: null });
          }}
        />
        {act && (
          <DeploymentAct
            deployment={summary}
            act={act}
            onClose={() => setAct(null)}
            onDeleted={() => go({ to: "/live" })}
          />
        )}
      </div>
    </RunContext>
  );
}
