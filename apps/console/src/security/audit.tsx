// The audit log with the state of its proof: who did what, was it allowed, and was the log left alone.
import { Alert, Button, Code, Group, SegmentedControl, Select, Text, TextInput } from "@mantine/core";
import { useInfiniteQuery } from "@tanstack/react-query";
import { FileCheck2, ShieldAlert, ShieldCheck, ShieldEllipsis } from "lucide-react";
import { useState } from "react";
import { postJson } from "../api/client.ts";
import { CodeBlock } from "../ui/code-block.tsx";
import { DataTable } from "../ui/data-table.tsx";
import { Empty } from "../ui/empty.tsx";
import { arnName, count } from "../ui/format.ts";
import { useParam, useSetParams } from "../ui/link.tsx";
import { Page } from "../ui/page.tsx";
import { Panel } from "../ui/panel.tsx";
import { StatusBadge } from "../ui/status-badge.tsx";
import { When } from "../ui/when.tsx";
import { type AuditRecord, epochOf, type Proof, who } from "./audit-record.ts";

interface Answer {
  records: AuditRecord[];
  next?: unknown;
  proof: Proof;
}

const PAGE = 50;

export function AuditPage() {
  const eventName = useParam("event");
  const userName = useParam("user");
  const setParams = useSetParams();
  const [open, setOpen] = useState<string | null>(null);
  const reads = useParam("reads") === "yes";
  const filter = { ...(!reads && { readOnly: false }), ...(eventName && { eventName }), ...(userName && { userName }) };
  const log = useInfiniteQuery({
    queryKey: ["audit", filter],
    queryFn: ({ pageParam, signal }) =>
      postJson<Answer>(
        "audit",
        {
          limit: PAGE,
          ...(pageParam !== null && { before: pageParam }),
          ...(Object.keys(filter).length > 0 && { filter }),
        },
        signal,
      ),
    initialPageParam: null as unknown,
    getNextPageParam: (last) => last.next,
  });
  const records = log.data?.pages.flatMap((page) => page.records) ?? [];
  const proof = log.data?.pages[0]?.proof;
  const chosen = records.find((one) => one.eventID === open);
  return (
    <Page title="Audit log" description="Every call, allowed or refused, chained by hash as it was written.">
      {proof && <ProofState proof={proof} />}
      <Panel
        flush
        aside={
          <>
            <SegmentedControl
              size="xs"
              aria-label="Which calls"
              value={reads ? "yes" : "no"}
              onChange={(value) => setParams({ reads: value === "yes" ? "yes" : undefined })}
              data={[
                { value: "no", label: "Changes" },
                { value: "yes", label: "With reads" },
              ]}
            />
            <Filters
              event={eventName ?? ""}
              user={userName ?? ""}
              onChange={(event, user) => setParams({ event: event || undefined, user: user || undefined })}
            />
          </>
        }
      >
        <DataTable
          label="audit records"
          rows={records}
          rowKey={(one) => one.eventID}
          source={log}
          columns={[
            { key: "when", header: "When", width: 140, cell: (one) => <When at={epochOf(one)} /> },
            { key: "who", header: "Who", width: 130, cell: (one) => who(one) },
            {
              key: "what",
              header: "What",
              width: 230,
              cell: (one) => (
                <>
                  <Text size="sm" fw={550}>
                    {one.eventName}
                  </Text>
                  <Text size="xs" c="dimmed">
                    {one.eventSource.replace(".amazonaws.com", "")}
                  </Text>
                </>
              ),
            },
            {
              key: "resource",
              header: "On",
              wide: true,
              cell: (one) => one.resources?.map((resource) => arnName(resource.ARN ?? "")).join(", ") || "–",
            },
            {
              key: "outcome",
              header: "Outcome",
              width: 190,
              cell: (one) =>
                one.errorCode ? (
                  <StatusBadge state={one.errorCode} look="FAILED" />
                ) : (
                  <StatusBadge state="Done" look="SUCCEEDED" />
                ),
            },
            {
              key: "more",
              header: "",
              width: 90,
              wide: true,
              cell: (one) => (
                <Button
                  size="compact-xs"
                  variant="subtle"
                  aria-expanded={open === one.eventID}
                  aria-label={`Show the record of ${one.eventName}`}
                  onClick={() => setOpen(open === one.eventID ? null : one.eventID)}
                >
                  {open === one.eventID ? "Hide" : "Show"}
                </Button>
              ),
            },
          ]}
          empty={
            <Empty icon={FileCheck2} title="No record">
              {eventName || userName ? "Nothing of this kind happened." : "Nothing has happened yet."}
            </Empty>
          }
        />
      </Panel>
      {chosen && (
        <Panel title={`${chosen.eventName}, as it was written`}>
          <CodeBlock text={JSON.stringify(chosen, null, 2)} label="the record" tall />
        </Panel>
      )}
    </Page>
  );
}

const PROOFS = {
  verified: { color: "green", icon: ShieldCheck, title: "The log is whole" },
  broken: { color: "red", icon: ShieldAlert, title: "The log was changed after it was written" },
  unchecked: { color: "yellow", icon: ShieldEllipsis, title: "The log has not been checked yet" },
} as const;

function ProofState({ proof }: { proof: Proof }) {
  const { color, icon: Icon, title } = PROOFS[proof.state] ?? PROOFS.unchecked;
  return (
    <Alert
      color={color}
      variant="light"
      icon={<Icon size={18} aria-hidden />}
      title={title}
      role={proof.state === "broken" ? "alert" : "status"}
    >
      <Text size="sm">
        {typeof proof.records === "number" && `${count(proof.records, "record")}, `}
        {proof.state === "verified" && (
          <>
            each follows from the one before it. Checked <When at={proof.at} />.
          </>
        )}
        {proof.state === "broken" && (
          <>
            the chain does not hold. Keep the data directory as it is and run <Code>marram audit-log verify</Code> to
            learn where.
          </>
        )}
        {proof.state === "unchecked" && (
          <>
            run <Code>marram audit-log verify</Code> to check the chain.
          </>
        )}
      </Text>
      {proof.head && (
        <Group gap={6} mt={4}>
          <Text size="xs" c="dimmed">
            Head
          </Text>
          <Text size="xs" ff="monospace" className="breakable">
            {proof.head}
          </Text>
        </Group>
      )}
    </Alert>
  );
}

const EVENTS = [
  "ConsoleLogin",
  "CreateThing",
  "DeleteThing",
  "AttachPolicy",
  "UpdateCertificate",
  "CreateDeployment",
  "CreateComponentVersion",
  "DeploySystemInstance",
  "CreateAccessKey",
  "AttachUserPolicy",
];

function Filters(props: { event: string; user: string; onChange: (event: string, user: string) => void }) {
  const [user, setUser] = useState(props.user);
  return (
    <Group gap="xs">
      <Select
        size="xs"
        w={210}
        aria-label="What happened"
        placeholder="Everything"
        clearable
        searchable
        value={props.event || null}
        data={EVENTS.includes(props.event) || props.event === "" ? EVENTS : [props.event, ...EVENTS]}
        onChange={(event) => props.onChange(event ?? "", user)}
      />
      <form
        onSubmit={(event) => {
          event.preventDefault();
          props.onChange(props.event, user.trim());
        }}
      >
        <TextInput
          size="xs"
          w={160}
          aria-label="Of this user"
          placeholder="User, then Enter"
          value={user}
          onChange={(event) => setUser(event.currentTarget.value)}
        />
      </form>
    </Group>
  );
}
