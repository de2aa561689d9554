// Runs the flow on virtual time against scripted devices and plays what happened on the drawing.
import {
  ActionIcon,
  Badge,
  Button,
  Group,
  Loader,
  SegmentedControl,
  Select,
  Slider,
  Text,
  Textarea,
  Tooltip,
} from "@mantine/core";
import { useMutation } from "@tanstack/react-query";
import { Pause, Play, SkipBack, StepBack, StepForward } from "lucide-react";
import { useCallback, useContext, useEffect, useMemo, useRef, useState } from "react";
import { duration } from "../live/fold.ts";
import { RunContext } from "../live/run-store.ts";
import { type ScriptLine, simulate } from "../tdm-editor/service.ts";
import { ErrorPanel } from "../ui/error-panel.tsx";
import { useDesigner } from "./context.ts";
import { nextStep, type Playback, pause, playback, previousStep, sentence } from "./player.ts";
import classes from "./simulate-panel.module.css";

const EMPTY: Playback = { moments: [], executions: [] };
const COLOURS: Readonly<Record<string, string>> = {
  SUCCEEDED: "grass",
  FAILED: "red",
  ABORTED: "red",
  RUNNING: "blue",
  NOT_STARTED: "gray",
  INVALID: "red",
};

function written(script: readonly ScriptLine[]): string {
  return script.map((line) => JSON.stringify(line)).join("\n");
}

export function SimulatePanel({ onShow }: { onShow: (step: string) => void }) {
  const { state, key } = useDesigner();
  const store = useContext(RunContext);
  const [script, setScript] = useState("");
  const [edited, setEdited] = useState(false);
  const [execution, setExecution] = useState<number | null>(null);
  const [index, setIndex] = useState(0);
  const [playing, setPlaying] = useState(false);
  const [speed, setSpeed] = useState("1");

  const run = useMutation({
    mutationFn: (events: string | undefined) => simulate(state.text, key, events),
    onSuccess: (answer) => {
      if (!edited && answer.script) setScript(written(answer.script));
      setExecution(null);
      setIndex(0);
      setPlaying(true);
    },
  });
  const start = run.mutate;
  // biome-ignore lint/correctness/useExhaustiveDependencies: the first run needs no click; later ones are asked for
  useEffect(() => {
    start(undefined);
  }, []);

  const timeline = run.data?.timeline;
  const played = useMemo(() => (timeline ? playback(timeline, execution) : EMPTY), [timeline, execution]);
  const last = Math.max(0, played.moments.length - 1);
  const moment = played.moments[Math.min(index, last)];

  useEffect(() => {
    store.set(moment?.run ?? null);
  }, [store, moment]);
  useEffect(() => () => store.set(null), [store]);

  useEffect(() => {
    if (!playing) return;
    if (index >= last) {
      setPlaying(false);
      return;
    }
    const timer = setTimeout(() => setIndex(index + 1), pause(played, index + 1, Number(speed)));
    return () => clearTimeout(timer);
  }, [playing, index, last, played, speed]);

  const jump = useCallback((to: number) => {
    setPlaying(false);
    setIndex(to);
  }, []);
  const outcome = run.data?.outcome.status;
  const current = useRef<HTMLLIElement>(null);
  // biome-ignore lint/correctness/useExhaustiveDependencies: the line in the log follows the moment
  useEffect(() => {
    void current.current?.scrollIntoView({ block: "nearest" });
  }, [index]);

  return (
    <div className={classes.panel}>
      <div className={classes.script}>
        <Textarea
          label="Script"
          description="Things, events, and what devices answer: one JSON object a line"
          classNames={{ root: classes.area ?? "", wrapper: classes.areaWrap ?? "", input: classes.code ?? "" }}
          spellCheck={false}
          value={script}
          placeholder={run.isPending ? "A script is being made up…" : '{"at": 0, "start": {}}'}
          onKeyDown={(event) => event.stopPropagation()}
          onChange={(event) => {
            setEdited(true);
            setScript(event.currentTarget.value);
          }}
        />
        <Group gap="xs">
          <Button
            size="xs"
            loading={run.isPending}
            leftSection={<Play size={14} aria-hidden />}
            onClick={() => start(script.trim() === "" ? undefined : script)}
          >
            Run
          </Button>
          <Button
            size="xs"
            variant="default"
            onClick={() => {
              setEdited(false);
              start(undefined);
            }}
          >
            Make up a script
          </Button>
        </Group>
      </div>
      <div className={classes.stage}>
        {run.isError && <ErrorPanel error={run.error} title="The simulation did not run" />}
        {run.isPending && played.moments.length === 0 && <Loader aria-label="Simulating" />}
        {run.data && (
          <>
            <Group gap="sm" wrap="nowrap">
              <Badge color={COLOURS[outcome ?? ""] ?? "gray"}>
                {(outcome ?? "").toLowerCase().replaceAll("_", " ")}
              </Badge>
              <Group gap={2} wrap="nowrap">
                <Player label="To the start" icon={SkipBack} onClick={() => jump(0)} />
                <Player label="Step back" icon={StepBack} onClick={() => jump(previousStep(played, index))} />
                <Tooltip label={playing ? "Pause" : "Play"}>
                  <ActionIcon
                    variant="filled"
                    radius="xl"
                    aria-label={playing ? "Pause" : "Play"}
                    onClick={() => {
                      if (index >= last) setIndex(0);
                      setPlaying(!playing);
                    }}
                  >
                    {playing ? <Pause size={15} aria-hidden /> : <Play size={15} aria-hidden />}
                  </ActionIcon>
                </Tooltip>
                <Player label="Step forward" icon={StepForward} onClick={() => jump(nextStep(played, index))} />
              </Group>
              <Slider
                flex={1}
                size="sm"
                min={0}
                max={Math.max(1, last)}
                value={Math.min(index, last)}
                label={null}
                thumbLabel="Moment"
                onChange={jump}
              />
              <Text size="xs" className="tabular" w={72} ta="end">
                {duration(moment?.at ?? 0)}
              </Text>
              <SegmentedControl
                size="xs"
                value={speed}
                onChange={setSpeed}
                aria-label="Speed"
                data={["0.5", "1", "4"].map((value) => ({ value, label: `${value}×` }))}
              />
              {played.executions.length > 1 && (
                <Select
                  size="xs"
                  w={130}
                  aria-label="Execution"
                  value={String(execution ?? played.executions[0])}
                  data={played.executions.map((one) => ({ value: String(one), label: `Execution ${one}` }))}
                  onChange={(value) => {
                    setExecution(value ? Number(value) : null);
                    jump(0);
                  }}
                />
              )}
            </Group>
            <ol className={classes.log} aria-label="What happened">
              {played.moments.map((one, at) => (
                <li
                  key={one.index}
                  ref={at === index ? current : undefined}
                  aria-current={at === index ? "step" : undefined}
                  data-kind={one.kind}
                >
                  <button
                    type="button"
                    onClick={() => {
                      jump(at);
                      if (one.step) onShow(one.step);
                    }}
                  >
                    <span className={classes.at}>{duration(one.at)}</span>
                    <span>{sentence(one)}</span>
                  </button>
                </li>
              ))}
              {played.moments.length === 0 && (
                <Text size="sm" c="dimmed" p="sm">
                  {outcome === "INVALID"
                    ? "The flow has errors: see the problems."
                    : "Nothing happened: the script starts no execution."}
                </Text>
              )}
            </ol>
          </>
        )}
      </div>
    </div>
  );
}

function Player({ label, icon: Icon, onClick }: { label: string; icon: typeof Play; onClick: () => void }) {
  return (
    <Tooltip label={label}>
      <ActionIcon variant="subtle" color="gray" aria-label={label} onClick={onClick}>
        <Icon size={16} aria-hidden />
      </ActionIcon>
    </Tooltip>
  );
}
