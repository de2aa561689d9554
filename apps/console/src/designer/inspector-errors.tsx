// What a step does when it fails: tries again, or catches the error and goes another way.
import { ActionIcon, Button, Group, NumberInput, TagsInput, Text, Tooltip } from "@mantine/core";
import { ArrowUp, Plus, Trash2 } from "lucide-react";
import { useEffect, useState } from "react";
import { useDesigner } from "./context.ts";
import type { Catch, FlowNode, Retry } from "./drawing.ts";
import { ExpressionField } from "./expression-field.tsx";
import classes from "./inspector.module.css";
import { swapped } from "./inspector-success.tsx";
import { TextField } from "./text-field.tsx";

/** Names of the errors the runtime raises (things-graph.md 6.5). */
const ERRORS = [
  "States.ALL",
  "TG.Timeout",
  "TG.TaskFailed",
  "TG.PayloadInvalid",
  "TG.RequestInvalid",
  "TG.Permission",
  "TG.DeviceNotBound",
  "TG.ModbusIO",
  "TG.ModbusException",
  "TG.Http.4xx",
  "TG.Http.5xx",
  "TG.RuntimeRestarted",
  "TG.ExpressionError",
  "TG.TypeError",
  "TG.MappingGap",
];

const NEW_RETRY: Retry = {
  name: "again",
  errorEquals: ["TG.Timeout"],
  condition: null,
  interval: "1 sec",
  backoffRate: 2,
  maxAttempts: 3,
};
const NEW_CATCH: Catch = { name: "failed", errorEquals: ["States.ALL"], condition: null, raiseEvent: [], expr: null };

export function ErrorHandling({ node }: { node: FlowNode }) {
  const { flow, key, edit, readOnly } = useDesigner();
  const retries = node.onError?.retries ?? [];
  const catches = node.onError?.catches ?? [];
  const set = (next: { retries?: readonly Retry[]; catches?: readonly Catch[] }, label: string) =>
    void edit(
      [
        {
          op: "set-on-error",
          flow: key,
          node: node.name,
          retries: next.retries ?? retries,
          catches: next.catches ?? catches,
        },
      ],
      label,
    );
  const fresh = (wanted: string, taken: readonly (string | null)[]) => {
    let name = wanted;
    for (let number = 2; taken.includes(name); number += 1) name = `${wanted} ${number}`;
    return name;
  };
  const retry = (index: number, change: Partial<Retry>) =>
    set(
      { retries: retries.map((one, at) => (at === index ? { ...one, ...change } : one)) },
      `Change a retry of “${node.name}”`,
    );
  const caught = (index: number, change: Partial<Catch>) =>
    set(
      { catches: catches.map((one, at) => (at === index ? { ...one, ...change } : one)) },
      `Change a catch of “${node.name}”`,
    );
  return (
    <>
      {retries.length + catches.length === 0 && (
        <Text size="xs" c="dimmed">
          An error ends the flow. Let it try again, or catch the error and go another way.
        </Text>
      )}
      {retries.map((one, index) => (
        // biome-ignore lint/suspicious/noArrayIndexKey: clauses are a list in order, their names may be missing
        <div key={index} className={classes.card}>
          <ClauseHead
            title="Try again"
            label={`retry ${index + 1}`}
            hidden={readOnly}
            onUp={index === 0 ? undefined : () => set({ retries: swapped(retries, index) }, "Reorder retries")}
            onRemove={() => set({ retries: retries.filter((_, at) => at !== index) }, "Remove a retry")}
          />
          <Errors node={node} clause={one} readOnly={readOnly} onChange={(change) => retry(index, change)} />
          <Group gap={8} wrap="nowrap" align="end">
            <TextField
              label="Wait"
              flex={1}
              value={one.interval === null ? "" : String(one.interval)}
              placeholder="1 sec"
              readOnly={readOnly}
              onCommit={(interval) => retry(index, { interval: interval === "" ? null : interval })}
            />
            <Amount
              label="then times"
              value={one.backoffRate}
              placeholder="2"
              readOnly={readOnly}
              onChange={(backoffRate) => retry(index, { backoffRate })}
            />
            <Amount
              label="at most"
              value={one.maxAttempts}
              placeholder="3"
              readOnly={readOnly}
              whole
              onChange={(maxAttempts) => retry(index, { maxAttempts })}
            />
          </Group>
          <Text size="xs" c="dimmed">
            {story(one)}
          </Text>
        </div>
      ))}
      {catches.map((one, index) => {
        const target = flow.edges
          .filter((edge) => edge.source === node.name && edge.port === `catch:${index}`)
          .map((edge) => edge.target);
        return (
          // biome-ignore lint/suspicious/noArrayIndexKey: clauses are a list in order, their names may be missing
          <div key={index} className={classes.card}>
            <ClauseHead
              title="Catch"
              label={`catch ${index + 1}`}
              hidden={readOnly}
              onUp={index === 0 ? undefined : () => set({ catches: swapped(catches, index) }, "Reorder catches")}
              onRemove={() => set({ catches: catches.filter((_, at) => at !== index) }, "Remove a catch")}
            />
            <Errors node={node} clause={one} readOnly={readOnly} onChange={(change) => caught(index, change)} />
            <TagsInput
              label="Raise these events"
              size="xs"
              data={flow.events.filter((event) => !one.raiseEvent.includes(event))}
              value={[...one.raiseEvent]}
              readOnly={readOnly}
              placeholder={one.raiseEvent.length === 0 ? "none" : ""}
              onChange={(raiseEvent) => caught(index, { raiseEvent })}
              onKeyDown={(event) => event.stopPropagation()}
            />
            <ExpressionField
              label="And set"
              description="A variable, or an event: $late.IsTrue = true"
              step={node.name}
              place="statement"
              placeholder="nothing"
              value={one.expr ?? ""}
              onCommit={(expr) => caught(index, { expr: expr.trim() === "" ? null : expr })}
            />
            <Text size="xs" c="dimmed">
              {target.length > 0
                ? `Goes on at “${target.join("”, “")}”.`
                : "The branch ends here. Draw from the red port to go on elsewhere."}
            </Text>
          </div>
        );
      })}
      {!readOnly && (
        <Group gap="xs">
          <Button
            size="compact-xs"
            variant="default"
            leftSection={<Plus size={13} aria-hidden />}
            onClick={() =>
              set(
                {
                  retries: [
                    ...retries,
                    {
                      ...NEW_RETRY,
                      name: fresh(
                        "again",
                        retries.map((one) => one.name),
                      ),
                    },
                  ],
                },
                "Add a retry",
              )
            }
          >
            Retry
          </Button>
          <Button
            size="compact-xs"
            variant="default"
            leftSection={<Plus size={13} aria-hidden />}
            onClick={() =>
              set(
                {
                  catches: [
                    ...catches,
                    {
                      ...NEW_CATCH,
                      name: fresh(
                        "failed",
                        catches.map((one) => one.name),
                      ),
                    },
                  ],
                },
                "Add a catch",
              )
            }
          >
            Catch
          </Button>
        </Group>
      )}
    </>
  );
}

function story(retry: Retry): string {
  const attempts = retry.maxAttempts ?? 3;
  if (attempts === 0) return "Never tries again.";
  const unit = /^\s*(\d+(?:\.\d+)?)\s*([a-z]*)/i.exec(String(retry.interval ?? "1 sec"));
  if (!unit) return `Tries again up to ${attempts} times.`;
  const waits = Array.from({ length: Math.min(attempts, 4) }, (_, turn) =>
    Number((Number(unit[1]) * (retry.backoffRate ?? 2) ** turn).toFixed(2)),
  );
  return `Waits ${waits.join(", ")}${attempts > 4 ? ", …" : ""} ${unit[2] || "s"}, then gives up.`;
}

/** The title of a clause with what can be done with it; `label` names it to those who do not see it. */
export function ClauseHead(props: {
  title: string;
  label: string;
  hidden: boolean;
  onUp?: (() => void) | undefined;
  onRemove: () => void;
}) {
  return (
    <div className={classes.cardHead}>
      <span>{props.title}</span>
      {!props.hidden && (
        <Group gap={2} wrap="nowrap">
          {props.onUp && (
            <Tooltip label="Ask it earlier">
              <ActionIcon
                size="sm"
                variant="subtle"
                color="gray"
                aria-label={`Move ${props.label} up`}
                onClick={props.onUp}
              >
                <ArrowUp size={14} aria-hidden />
              </ActionIcon>
            </Tooltip>
          )}
          <Tooltip label="Remove">
            <ActionIcon
              size="sm"
              variant="subtle"
              color="gray"
              aria-label={`Remove ${props.label}`}
              onClick={props.onRemove}
            >
              <Trash2 size={14} aria-hidden />
            </ActionIcon>
          </Tooltip>
        </Group>
      )}
    </div>
  );
}

/** Which errors a clause is for: names, a condition, or both. One of them must stay. */
function Errors(props: {
  node: FlowNode;
  clause: Pick<Retry, "errorEquals" | "condition" | "name">;
  readOnly: boolean;
  onChange: (change: Partial<Pick<Retry, "errorEquals" | "condition" | "name">>) => void;
}) {
  const { clause, readOnly, onChange } = props;
  const [names, setNames] = useState<readonly string[]>(clause.errorEquals);
  useEffect(() => setNames(clause.errorEquals), [clause.errorEquals]);
  const needed = "Name an error, or say when.";
  const missing = names.length === 0 && (clause.condition ?? "") === "";
  return (
    <>
      <TextField
        label="Name"
        value={clause.name ?? ""}
        readOnly={readOnly}
        onCommit={(name) => onChange({ name: name.trim() === "" ? null : name })}
      />
      <TagsInput
        label="On these errors"
        size="xs"
        data={ERRORS}
        value={[...names]}
        readOnly={readOnly}
        placeholder={names.length === 0 ? "choose errors, or type one" : ""}
        error={missing ? needed : undefined}
        onChange={(next) => {
          setNames(next);
          if (next.length > 0 || clause.condition) onChange({ errorEquals: next });
        }}
        onKeyDown={(event) => event.stopPropagation()}
      />
      <ExpressionField
        label="Or when"
        step={props.node.name}
        place="error"
        placeholder="Error == 'TG.Timeout'"
        value={clause.condition ?? ""}
        onCommit={(text) => {
          const condition = text.trim() === "" ? null : text;
          if (condition !== null || names.length > 0) onChange({ condition, errorEquals: names });
        }}
      />
    </>
  );
}

function Amount(props: {
  label: string;
  value: number | null;
  placeholder: string;
  readOnly: boolean;
  whole?: boolean;
  onChange: (value: number | null) => void;
}) {
  return (
    <NumberInput
      key={props.value}
      label={props.label}
      size="xs"
      w={82}
      min={props.whole ? 0 : 1}
      allowDecimal={props.whole !== true}
      defaultValue={props.value ?? ""}
      placeholder={props.placeholder}
      readOnly={props.readOnly}
      onKeyDown={(event) => {
        event.stopPropagation();
        if (event.key === "Enter") event.currentTarget.blur();
      }}
      onBlur={(event) => {
        const typed = event.currentTarget.value.trim();
        const next = typed === "" || Number.isNaN(Number(typed)) ? null : Number(typed);
        if (next !== props.value) props.onChange(next);
      }}
    />
  );
}
