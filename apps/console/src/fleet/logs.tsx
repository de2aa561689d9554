// Logs that cores have sent: choose a component and a core, filter, follow.
import { Button, Group, Select, Skeleton, Switch, TextInput } from "@mantine/core";
import { useDebouncedValue } from "@mantine/hooks";
import { ScrollText } from "lucide-react";
import { useEffect, useMemo, useRef, useState } from "react";
import { useCall, usePages } from "../api/call.ts";
import { Empty } from "../ui/empty.tsx";
import { ErrorPanel } from "../ui/error-panel.tsx";
import { useParam, useSetParams } from "../ui/link.tsx";
import { Page } from "../ui/page.tsx";
import { Panel } from "../ui/panel.tsx";
import { groupLabel, pickGroup, severity, streamsOf } from "./log-names.ts";
import classes from "./logs.module.css";

interface LogGroup {
  logGroupName: string;
}

interface LogStream {
  logStreamName: string;
}

interface LogEvent {
  eventId: string;
  logStreamName: string;
  /** Epoch milliseconds. */
  timestamp: number;
  message: string;
}

const HOUR_MILLIS = 3_600_000;
const SPANS = [
  { value: "1", label: "Last hour" },
  { value: "24", label: "Last day" },
  { value: "168", label: "Last week" },
  { value: "720", label: "Last 30 days" },
];
const FOLLOW_MILLIS = 5_000;
/** Pages come oldest first; up to so many lines are read on so that the newest are seen. */
const READ_ON_LINES = 5_000;

export function LogsPage() {
  const groups = usePages<{ logGroups: LogGroup[] }, LogGroup>(
    "logs",
    "DescribeLogGroups",
    {},
    { items: (output) => output.logGroups },
  );
  const group = useParam("group");
  const component = useParam("component");
  const setParams = useSetParams();
  const names = groups.items.map((one) => one.logGroupName);
  const chosen = pickGroup(names, group, component);
  const { hasNextPage, isFetchingNextPage, fetchNextPage } = groups;
  useEffect(() => {
    if (hasNextPage && !isFetchingNextPage) void fetchNextPage();
  }, [hasNextPage, isFetchingNextPage, fetchNextPage]);

  return (
    <Page title="Logs" description="What components and cores wrote, as far as their log manager has sent it here.">
      {groups.error && <ErrorPanel error={groups.error} retry={() => void groups.refetch()} />}
      {groups.isPending && <Skeleton h={360} />}
      {groups.data && chosen === undefined && (
        <Panel>
          <Empty icon={ScrollText} title="No core has sent logs yet">
            Deploy the component <code>aws.greengrass.LogManager</code> to send the logs of components here. Until then
            they lie on the core, in <code>ROOT/logs</code>.
          </Empty>
        </Panel>
      )}
      {chosen !== undefined && (
        <Panel
          flush
          title={
            <Select
              size="xs"
              w={320}
              maw="100%"
              aria-label="Component"
              searchable
              allowDeselect={false}
              value={chosen}
              data={names.map((name) => ({ value: name, label: groupLabel(name) }))}
              onChange={(name) => setParams({ group: name ?? undefined, component: undefined })}
            />
          }
        >
          <Events key={chosen} group={chosen} />
        </Panel>
      )}
    </Page>
  );
}

function Events({ group }: { group: string }) {
  const core = useParam("core");
  const setParams = useSetParams();
  const [words, setWords] = useState("");
  const [pattern] = useDebouncedValue(words.trim(), 350);
  const [hours, setHours] = useState("1");
  const [follow, setFollow] = useState(true);
  const streams = useCall<{ logStreams: LogStream[] }>("logs", "DescribeLogStreams", { logGroupName: group });
  const { cores, chosen } = streamsOf(streams.data?.logStreams.map((one) => one.logStreamName) ?? [], core);
  const startTime = useMemo(() => Date.now() - Number(hours) * HOUR_MILLIS, [hours]);
  const events = usePages<{ events: LogEvent[] }, LogEvent>(
    "logs",
    "FilterLogEvents",
    {
      logGroupName: group,
      startTime,
      limit: 1000,
      ...(core !== undefined && chosen.length > 0 && { logStreamNames: chosen }),
      ...(pattern !== "" && { filterPattern: quoted(pattern) }),
    },
    { items: (output) => output.events },
    { refresh: follow ? FOLLOW_MILLIS : false, enabled: core === undefined || streams.data !== undefined },
  );
  const { hasNextPage, isFetchingNextPage, fetchNextPage } = events;
  const more = hasNextPage && events.items.length < READ_ON_LINES;
  useEffect(() => {
    if (more && !isFetchingNextPage) void fetchNextPage();
  }, [more, isFetchingNextPage, fetchNextPage]);
  return (
    <>
      <Group gap="xs" p="sm" className={classes.tools}>
        <TextInput
          size="xs"
          flex="1 1 12rem"
          aria-label="Words in the message"
          placeholder="Words in the message"
          value={words}
          onChange={(event) => setWords(event.currentTarget.value)}
        />
        <Select
          size="xs"
          w={200}
          aria-label="Core"
          placeholder="All cores"
          clearable
          searchable
          value={core ?? null}
          data={core !== undefined && !cores.includes(core) ? [core, ...cores] : cores}
          onChange={(name) => setParams({ core: name ?? undefined })}
        />
        <Select
          size="xs"
          w={140}
          aria-label="Time"
          allowDeselect={false}
          value={hours}
          data={SPANS}
          onChange={(value) => setHours(value ?? "1")}
        />
        <Switch
          size="xs"
          label="Follow"
          checked={follow}
          onChange={(event) => setFollow(event.currentTarget.checked)}
        />
      </Group>
      {core !== undefined && streams.data && chosen.length === 0 ? (
        <Empty icon={ScrollText} title={`${core} has sent nothing of this`} />
      ) : events.error ? (
        <ErrorPanel error={events.error} retry={() => void events.refetch()} />
      ) : events.isPending ? (
        <Skeleton h={360} radius={0} />
      ) : events.items.length === 0 ? (
        <Empty icon={ScrollText} title="Nothing in this time">
          Widen the time or take out words.
        </Empty>
      ) : (
        <Lines events={events.items} follow={follow && !hasNextPage} />
      )}
      {hasNextPage && !more && (
        <Group p="xs" justify="center">
          <Button size="xs" variant="default" loading={isFetchingNextPage} onClick={() => void fetchNextPage()}>
            Newer lines
          </Button>
        </Group>
      )}
    </>
  );
}

/** Words are looked for as they stand: a term in quotes has no operators. */
function quoted(text: string): string {
  return text
    .split(/\s+/)
    .map((word) => `"${word.replaceAll('"', "")}"`)
    .join(" ");
}

function Lines({ events, follow }: { events: LogEvent[]; follow: boolean }) {
  const box = useRef<HTMLDivElement>(null);
  const last = events.at(-1)?.eventId;
  // biome-ignore lint/correctness/useExhaustiveDependencies: a new last line moves the view
  useEffect(() => {
    if (follow && box.current) box.current.scrollTop = box.current.scrollHeight;
  }, [follow, last]);
  return (
    <section ref={box} className={classes.lines} tabIndex={0} aria-label="Log lines">
      {events.map((event) => (
        <div
          key={`${event.logStreamName}${event.eventId}`}
          className={classes.line}
          data-severity={severity(event.message)}
        >
          <time className={classes.time} dateTime={new Date(event.timestamp).toISOString()}>
            {clock(event.timestamp)}
          </time>
          <span className={classes.message}>{event.message}</span>
        </div>
      ))}
    </section>
  );
}

function clock(millis: number): string {
  const text = new Date(millis - new Date(millis).getTimezoneOffset() * 60_000).toISOString();
  return `${text.slice(5, 10)} ${text.slice(11, 23)}`;
}
