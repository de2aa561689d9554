// Who may do an action on a resource, and because of which statement.
import { Autocomplete, Button, Group, Text, TextInput } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { ShieldQuestion } from "lucide-react";
import { useState } from "react";
import { postJson } from "../api/client.ts";
import { useSession } from "../api/session.ts";
import { DataTable } from "../ui/data-table.tsx";
import { Empty } from "../ui/empty.tsx";
import { sentence } from "../ui/format.ts";
import { useParam, useSetParams } from "../ui/link.tsx";
import { Panel } from "../ui/panel.tsx";
import { StatusBadge } from "../ui/status-badge.tsx";
import { resourceOf, SUGGESTED_ACTIONS } from "./resource.ts";

interface Holder {
  arn: string;
  kind: string;
  decision: "allow" | "deny";
  because: { policy: string; statement?: string }[];
}

export function WhoCan() {
  const session = useSession();
  const setParams = useSetParams();
  const action = useParam("action");
  const resource = useParam("resource");
  const [actionDraft, setActionDraft] = useState(action ?? "iot:Publish");
  const [resourceDraft, setResourceDraft] = useState(resource ?? "plant/1/press");
  const asked = action !== undefined && resource !== undefined;
  const answer = useQuery({
    queryKey: ["who-can", action, resource],
    queryFn: ({ signal }) => postJson<{ principals: Holder[]; more: boolean }>("who-can", { action, resource }, signal),
    enabled: asked,
  });
  const full = resourceOf(actionDraft.trim(), resourceDraft.trim(), session);
  return (
    <>
      <Panel>
        <form
          onSubmit={(event) => {
            event.preventDefault();
            if (actionDraft.trim() !== "" && full !== "") setParams({ action: actionDraft.trim(), resource: full });
          }}
        >
          <Group align="flex-end" gap="sm">
            <Autocomplete
              label="Action"
              w={260}
              data={SUGGESTED_ACTIONS}
              value={actionDraft}
              onChange={setActionDraft}
            />
            <TextInput
              label="Topic, name or ARN"
              flex="1 1 16rem"
              value={resourceDraft}
              onChange={(event) => setResourceDraft(event.currentTarget.value)}
              spellCheck={false}
            />
            <Button type="submit" loading={answer.isFetching} disabled={actionDraft.trim() === "" || full === ""}>
              Ask
            </Button>
          </Group>
          {full !== resourceDraft.trim() && (
            <Text size="xs" c="dimmed" mt={6} ff="monospace" className="breakable">
              {full}
            </Text>
          )}
        </form>
      </Panel>
      <div style={{ height: "1.25rem" }} />
      <Panel title={asked ? `${action} on ${resource}` : "Answer"} flush>
        {asked ? (
          <DataTable
            label="principals"
            rows={answer.data?.principals ?? []}
            rowKey={(one) => one.arn + one.decision}
            source={answer}
            columns={[
              { key: "arn", header: "Principal", cell: (one) => <span className="breakable">{one.arn}</span> },
              { key: "kind", header: "Kind", width: 120, wide: true, cell: (one) => sentence(one.kind) },
              {
                key: "decision",
                header: "Decision",
                width: 130,
                cell: (one) => (
                  <StatusBadge
                    state={one.decision === "allow" ? "Allowed" : "Denied"}
                    look={one.decision.toUpperCase()}
                  />
                ),
              },
              {
                key: "because",
                header: "Because of",
                cell: (one) =>
                  one.because
                    .map((why) => (why.statement ? `${why.policy} (${why.statement})` : why.policy))
                    .join(", "),
              },
            ]}
            empty={
              <Empty icon={ShieldQuestion} title="Nobody">
                No principal of this account has a statement about it. Unknown means no.
              </Empty>
            }
          />
        ) : (
          <Empty icon={ShieldQuestion} title="Ask who may do something">
            For example who may publish to <code>plant/1/press</code>, or who may create deployments.
          </Empty>
        )}
        {answer.data?.more && (
          <Text size="xs" c="dimmed" p="sm">
            There are more than shown here.
          </Text>
        )}
      </Panel>
    </>
  );
}
