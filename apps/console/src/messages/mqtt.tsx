// The MQTT test client: subscribe to filters, watch what comes, publish.
import { Alert, Badge, Button, CloseButton, Group, Switch, Text, TextInput } from "@mantine/core";
import { Pause, Play, Plus, Radio, Trash2 } from "lucide-react";
import { useReducer, useState } from "react";
import { May, useMay } from "../api/may.tsx";
import { type StreamState, useEventStream } from "../api/stream.ts";
import { Empty } from "../ui/empty.tsx";
import { count } from "../ui/format.ts";
import { Page } from "../ui/page.tsx";
import { Panel } from "../ui/panel.tsx";
import { filterMistake } from "./filter.ts";
import { EMPTY_INBOX, inboxStep, type LiveMessage, readable } from "./inbox.ts";
import classes from "./mqtt.module.css";
import { Publish } from "./publish.tsx";

/** The server allows this many streams to a session; other pages need some. */
const MAX_FILTERS = 6;

export function MqttPage() {
  const maySubscribe = useMay("iot:Subscribe");
  return (
    <Page
      title="MQTT test client"
      description="Messages as devices see them, with your own rights. Nothing here is kept."
    >
      <div className={classes.columns}>
        <div className={classes.main}>
          {maySubscribe ? (
            <Watch />
          ) : (
            <Panel>
              <Empty icon={Radio} title="Your policies do not allow to subscribe">
                Watching messages needs <code>iot:Subscribe</code> and <code>iot:Receive</code>.
              </Empty>
            </Panel>
          )}
        </div>
        <May action="iot:Publish">
          <Publish />
        </May>
      </div>
    </Page>
  );
}

function Watch() {
  const [filters, setFilters] = useState<string[]>([]);
  const [draft, setDraft] = useState("plant/#");
  const [words, setWords] = useState("");
  const [pretty, setPretty] = useState(true);
  const [inbox, send] = useReducer(inboxStep, EMPTY_INBOX);
  const mistake = filterMistake(draft);
  const known = filters.includes(draft);
  const shown = inbox.messages.filter(
    (one) => words === "" || one.topic.includes(words) || readable(one.payload, false).includes(words),
  );
  return (
    <>
      <Panel title="Subscriptions">
        <form
          onSubmit={(event) => {
            event.preventDefault();
            if (mistake === null && !known && filters.length < MAX_FILTERS) setFilters([...filters, draft]);
          }}
        >
          <Group gap="xs" align="flex-start">
            <TextInput
              flex="1 1 12rem"
              aria-label="Filter"
              value={draft}
              onChange={(event) => setDraft(event.currentTarget.value)}
              error={draft === "" ? null : mistake}
              classNames={{ input: classes.mono ?? "" }}
              spellCheck={false}
            />
            <Button
              type="submit"
              leftSection={<Plus size={15} aria-hidden />}
              disabled={mistake !== null || known || filters.length >= MAX_FILTERS}
            >
              Subscribe
            </Button>
          </Group>
        </form>
        {filters.length >= MAX_FILTERS && (
          <Text size="xs" c="dimmed" mt={6}>
            At most {MAX_FILTERS} at a time.
          </Text>
        )}
        <ul className={classes.filters} aria-label="Subscriptions">
          {filters.map((filter) => (
            <Subscription
              key={filter}
              filter={filter}
              onMessage={(message) => send({ type: "message", filter, message })}
              onLost={(lost) => send({ type: "lost", count: lost })}
              onRemove={() => setFilters(filters.filter((one) => one !== filter))}
            />
          ))}
        </ul>
      </Panel>
      <Panel
        title="Messages"
        flush
        aside={
          <>
            <Text size="xs" c="dimmed" className="tabular">
              {count(inbox.total, "message")}
            </Text>
            <Switch
              size="xs"
              label="Indent JSON"
              checked={pretty}
              onChange={(event) => setPretty(event.currentTarget.checked)}
            />
            <Button
              size="xs"
              variant={inbox.paused ? "filled" : "default"}
              leftSection={inbox.paused ? <Play size={13} aria-hidden /> : <Pause size={13} aria-hidden />}
              onClick={() => send({ type: "pause", paused: !inbox.paused })}
            >
              {inbox.paused ? `Go on (${inbox.held.length})` : "Pause"}
            </Button>
            <Button
              size="xs"
              variant="default"
              leftSection={<Trash2 size={13} aria-hidden />}
              onClick={() => send({ type: "clear" })}
            >
              Clear
            </Button>
          </>
        }
      >
        {inbox.lost > 0 && (
          <Alert color="orange" variant="light" radius={0} py="xs">
            {count(inbox.lost, "message")} came faster than this page could take them and were left out.
          </Alert>
        )}
        <div className={classes.search}>
          <TextInput
            size="xs"
            aria-label="Show only messages with"
            placeholder="Show only messages with…"
            value={words}
            onChange={(event) => setWords(event.currentTarget.value)}
          />
        </div>
        {shown.length === 0 ? (
          <Empty
            icon={Radio}
            title={filters.length === 0 ? "Subscribe to see messages" : words ? "No message holds this" : "Listening"}
          >
            {filters.length === 0
              ? "A filter such as plant/+/temperature or # says which."
              : words === "" && "Nothing has come yet. Publish something, or wait for a device."}
          </Empty>
        ) : (
          <section className={classes.messages} aria-label="Messages" tabIndex={0}>
            {shown.map((one) => (
              <article key={one.id} className={classes.message}>
                <header className={classes.meta}>
                  <span className={classes.topic}>{one.topic}</span>
                  {one.retained && (
                    <Badge size="xs" color="blue">
                      retained
                    </Badge>
                  )}
                  <span className={classes.time}>
                    QoS {one.qos} · {new Date(one.at * 1000).toLocaleTimeString(undefined, { hour12: false })}
                  </span>
                </header>
                <pre className={classes.payload}>{readable(one.payload, pretty) || " "}</pre>
              </article>
            ))}
          </section>
        )}
      </Panel>
    </>
  );
}

const STATES: Record<StreamState, string> = {
  closed: "closed",
  connecting: "connecting",
  open: "listening",
  broken: "refused",
};

function Subscription(props: {
  filter: string;
  onMessage: (message: LiveMessage) => void;
  onLost: (count: number) => void;
  onRemove: () => void;
}) {
  const state = useEventStream(`live/mqtt?filter=${encodeURIComponent(props.filter)}`, {
    message: (data) => props.onMessage(data as LiveMessage),
    lost: (data) => props.onLost((data as { count: number }).count),
  });
  return (
    <li className={classes.filter}>
      <span className={classes.mono}>{props.filter}</span>
      <Badge size="xs" color={state === "open" ? "green" : state === "broken" ? "red" : "gray"}>
        {STATES[state]}
      </Badge>
      <CloseButton size="xs" aria-label={`Unsubscribe from ${props.filter}`} onClick={props.onRemove} />
    </li>
  );
}
