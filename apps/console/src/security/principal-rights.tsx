// What a principal (thing, certificate, role, user) may do, by its policies' statements.
import { Button, Group, Select, Text, TextInput } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { UserRoundSearch } from "lucide-react";
import { useState } from "react";
import { useCall } from "../api/call.ts";
import { postJson } from "../api/client.ts";
import { useMay } from "../api/may.tsx";
import { useSession } from "../api/session.ts";
import { DataTable } from "../ui/data-table.tsx";
import { Empty } from "../ui/empty.tsx";
import { useParam, useSetParams } from "../ui/link.tsx";
import { Panel } from "../ui/panel.tsx";
import { StatusBadge } from "../ui/status-badge.tsx";
import { principalOf } from "./resource.ts";

interface Right {
  action: string;
  resource: string;
  policy: string;
}

interface Row extends Right {
  decision: "allow" | "deny";
}

export function PrincipalRights() {
  const session = useSession();
  const setParams = useSetParams();
  const principal = useParam("principal");
  const [draft, setDraft] = useState(principal ?? "");
  const mayListRoles = useMay("iam:ListRoles");
  const roles = useCall<{ Roles: { RoleName: string; Arn: string }[] }>(
    "iam",
    "ListRoles",
    {},
    { enabled: mayListRoles === true },
  );
  const mayListUsers = useMay("iam:ListUsers");
  const users = useCall<{ Users: { UserName: string; Arn: string }[] }>(
    "iam",
    "ListUsers",
    {},
    { enabled: mayListUsers === true },
  );
  const answer = useQuery({
    queryKey: ["can", principal],
    queryFn: ({ signal }) => postJson<{ allows: Right[]; denies: Right[] }>("can", { principal }, signal),
    enabled: principal !== undefined,
  });
  const rows: Row[] = [
    ...(answer.data?.denies ?? []).map((one) => ({ ...one, decision: "deny" as const })),
    ...(answer.data?.allows ?? []).map((one) => ({ ...one, decision: "allow" as const })),
  ];
  const ask = (arn: string) => {
    setDraft(arn);
    setParams({ principal: arn, tab: undefined });
  };
  const full = principalOf(draft.trim(), session);
  return (
    <>
      <Panel>
        <form
          onSubmit={(event) => {
            event.preventDefault();
            if (full !== "") ask(full);
          }}
        >
          <Group align="flex-end" gap="sm">
            <TextInput
              label="Thing, or ARN of a certificate, role or user"
              flex="1 1 16rem"
              value={draft}
              onChange={(event) => setDraft(event.currentTarget.value)}
              spellCheck={false}
            />
            <Select
              label="Roles and users"
              w={260}
              searchable
              placeholder="Choose"
              value={null}
              data={[
                {
                  group: "Roles",
                  items: (roles.data?.Roles ?? []).map((one) => ({ value: one.Arn, label: one.RoleName })),
                },
                {
                  group: "Users",
                  items: (users.data?.Users ?? []).map((one) => ({ value: one.Arn, label: one.UserName })),
                },
              ]}
              onChange={(arn) => arn && ask(arn)}
            />
            <Button type="submit" loading={answer.isFetching} disabled={full === ""}>
              Ask
            </Button>
          </Group>
        </form>
      </Panel>
      <div style={{ height: "1.25rem" }} />
      <Panel title={principal ?? "Answer"} flush>
        {principal === undefined ? (
          <Empty icon={UserRoundSearch} title="Choose somebody">
            You see every right and every denial, and the policy each comes from.
          </Empty>
        ) : (
          <DataTable
            label="rights"
            rows={rows}
            rowKey={(one) => `${one.decision} ${one.policy} ${one.action} ${one.resource}`}
            source={answer}
            columns={[
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
              { key: "action", header: "Action", cell: (one) => <Text size="sm">{one.action}</Text> },
              {
                key: "resource",
                header: "Resource",
                cell: (one) => (
                  <Text size="xs" ff="monospace" className="breakable">
                    {one.resource}
                  </Text>
                ),
              },
              { key: "policy", header: "Policy", width: 220, wide: true, cell: (one) => one.policy },
            ]}
            empty={
              <Empty icon={UserRoundSearch} title="Nothing">
                No policy says anything about this principal. Unknown means no.
              </Empty>
            }
          />
        )}
      </Panel>
    </>
  );
}
