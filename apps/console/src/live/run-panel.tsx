// Details of an execution: how it went, why it failed and what was tried, or everything about one step.
import { Alert, Badge, CloseButton, Code, Group, Loader, Stack, Tabs, Text } from "@mantine/core";
import { CircleAlert } from "lucide-react";
import type { Flow } from "../designer/drawing.ts";
import { ErrorPanel } from "../ui/error-panel.tsx";
import { executionName } from "./executions.ts";
import { duration, type Message, type RunView, retryStory, type StepView } from "./fold.ts";
import classes from "./run-panel.module.css";

export interface RunPanelProps {
  run: RunView;
  messages: readonly Message[];
  execution: string | null;
  pending: boolean;
  error: unknown;
  step: string | null;
  flow: Flow | null;
  onStep: (name: string | null) => void;
}

const COLOURS: Readonly<Record<RunView["status"], string>> = {
  RUNNING: "blue",
  SUCCEEDED: "grass",
  FAILED: "red",
  ABORTED: "red",
};
const STEP_COLOURS: Readonly<Record<StepView["state"], string>> = {
  waiting: "gray",
  running: "blue",
  retrying: "yellow",
  succeeded: "grass",
  caught: "yellow",
  failed: "red",
  skipped: "gray",
};

export function RunPanel(props: RunPanelProps) {
  const { run, messages, execution, step } = props;
  return (
    <aside className={classes.panel} aria-label="Execution">
      {execution === null ? (
        <Text size="sm" c="dimmed">
          No execution is chosen. When one starts it is shown here by itself.
        </Text>
      ) : (
        <Stack gap="md">
          {props.error ? <ErrorPanel error={props.error} /> : null}
          {props.pending && messages.length === 0 && <Loader aria-label="Reading the execution" />}
          {step !== null ? (
            <StepDetails
              name={step}
              view={run.steps.get(step.toLowerCase()) ?? null}
              onClose={() => props.onStep(null)}
            />
          ) : (
            <Overview {...props} execution={execution} />
          )}
        </Stack>
      )}
    </aside>
  );
}

function Overview({ run, messages, execution, flow, onStep }: RunPanelProps & { execution: string }) {
  const { trigger, time } = executionName(execution);
  const failed = run.failedStep ?? [...run.steps.values()].find((one) => one.state === "failed")?.name;
  const view = failed ? run.steps.get(failed.toLowerCase()) : undefined;
  const caught = [...run.steps.values()].filter((one) => one.state === "caught");
  return (
    <>
      <div>
        <Group gap={8}>
          <Badge color={COLOURS[run.status]}>{run.status.toLowerCase()}</Badge>
          {run.startedAt !== undefined && run.endedAt !== undefined && (
            <Text size="sm" className="tabular">
              in {duration(run.endedAt - run.startedAt)}
            </Text>
          )}
        </Group>
        <Text size="xs" c="dimmed" mt={6} className="breakable">
          {run.trigger ?? trigger} · {time ? new Date(time).toLocaleString() : execution}
        </Text>
      </div>
      {run.status === "FAILED" && (
        <Alert
          color="red"
          icon={<CircleAlert size={17} aria-hidden />}
          title={failed ? `“${failed}” failed` : "It failed"}
        >
          <Text size="sm" className="breakable">
            <Code>{run.error ?? view?.error}</Code> {run.errorMessage ?? view?.errorMessage}
          </Text>
          {view && <Story step={view} />}
        </Alert>
      )}
      {run.status === "ABORTED" && (
        <Alert color="red" title="It was stopped">
          {run.error ?? "The deployment was undeployed or the run took too long."}
        </Alert>
      )}
      {caught.map((one) => (
        <Alert key={one.name} color="yellow" title={`“${one.name}” failed and was caught`}>
          <Story step={one} />
        </Alert>
      ))}
      <Tabs defaultValue="steps">
        <Tabs.List>
          <Tabs.Tab value="steps">Steps</Tabs.Tab>
          <Tabs.Tab value="messages">Messages {messages.length > 0 && `(${messages.length})`}</Tabs.Tab>
        </Tabs.List>
        <Tabs.Panel value="steps" pt="xs">
          <ul className={classes.steps}>
            {[...run.steps.values()].map((one) => (
              <li key={one.name}>
                <button
                  type="button"
                  className={classes.step}
                  onClick={() =>
                    onStep(
                      flow?.nodes.find((node) => node.name.toLowerCase() === one.name.toLowerCase())?.name ?? one.name,
                    )
                  }
                >
                  <span className={classes.name}>{one.name}</span>
                  <Badge size="xs" color={STEP_COLOURS[one.state]} tt="none">
                    {one.state}
                  </Badge>
                  <span className={classes.took}>
                    {one.endedAt === undefined ? "" : duration(one.endedAt - one.startedAt)}
                  </span>
                </button>
              </li>
            ))}
          </ul>
          {run.parameters !== undefined && (
            <>
              <Text size="xs" c="dimmed" mt="sm" mb={4}>
                Started with
              </Text>
              <Json value={run.parameters} />
            </>
          )}
        </Tabs.Panel>
        <Tabs.Panel value="messages" pt="xs">
          <ol className={classes.messages}>
            {messages.map((message, index) => (
              <li key={message.id ?? `${message.type} ${String(message.at)} ${String(index)}`}>
                <details>
                  <summary>
                    <span className={classes.at}>+{duration(message.at - (run.startedAt ?? message.at))}</span>
                    <span className={classes.type}>{message.type.toLowerCase().replaceAll("_", " ")}</span>
                  </summary>
                  <Json value={message.payload} />
                </details>
              </li>
            ))}
          </ol>
        </Tabs.Panel>
      </Tabs>
    </>
  );
}

function Story({ step }: { step: StepView }) {
  return (
    <ol className={classes.story}>
      {retryStory(step).map((line) => (
        <li key={line}>{line}</li>
      ))}
    </ol>
  );
}

function StepDetails({ name, view, onClose }: { name: string; view: StepView | null; onClose: () => void }) {
  return (
    <>
      <Group justify="space-between" wrap="nowrap">
        <Text fw={600} className="breakable">
          {name}
        </Text>
        <CloseButton aria-label="Back to the execution" onClick={onClose} />
      </Group>
      {view === null ? (
        <Text size="sm" c="dimmed">
          This step has not run in this execution.
        </Text>
      ) : (
        <>
          <Group gap={8}>
            <Badge color={STEP_COLOURS[view.state]} tt="none">
              {view.state}
            </Badge>
            {view.endedAt !== undefined && (
              <Text size="sm" className="tabular">
                in {duration(view.endedAt - view.startedAt)}
              </Text>
            )}
            {view.activations > 1 && <Text size="sm">run {view.activations} times</Text>}
          </Group>
          {view.error && (
            <Alert color={view.state === "caught" || view.state === "retrying" ? "yellow" : "red"}>
              <Code>{view.error}</Code> {view.errorMessage}
            </Alert>
          )}
          {view.attempts.length > 0 && (
            <div>
              <Text size="xs" c="dimmed" mb={2}>
                What happened
              </Text>
              <Story step={view} />
            </div>
          )}
          {view.inputs !== undefined && <Value title="Sent" value={view.inputs} />}
          {view.value !== undefined && (
            <Value title={view.out ? `Result, kept as “${view.out}”` : "Result"} value={view.value} />
          )}
          {view.events.length > 0 && (
            <Text size="sm">
              <Text span c="dimmed">
                Then:{" "}
              </Text>
              {view.events.join(", ")}
            </Text>
          )}
        </>
      )}
    </>
  );
}

function Value({ title, value }: { title: string; value: unknown }) {
  return (
    <div>
      <Text size="xs" c="dimmed" mb={2}>
        {title}
      </Text>
      <Json value={value} />
    </div>
  );
}

function Json({ value }: { value: unknown }) {
  return (
    <Code block className={classes.json}>
      {typeof value === "string" ? value : JSON.stringify(value, null, 2)}
    </Code>
  );
}
