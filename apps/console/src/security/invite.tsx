// Inviting somebody: a user, new or there already, what it may do, and a link that is shown once.
import { Alert, Button, Group, MultiSelect, Select, Stack, Text, TextInput } from "@mantine/core";
import { useQueryClient } from "@tanstack/react-query";
import { KeyRound } from "lucide-react";
import { useState } from "react";
import { call, useAction, useCall } from "../api/call.ts";
import { ApiError, postJson } from "../api/client.ts";
import { useMay } from "../api/may.tsx";
import { useSession } from "../api/session.ts";
import { CodeBlock } from "../ui/code-block.tsx";
import { ErrorPanel } from "../ui/error-panel.tsx";
import { absolute } from "../ui/format.ts";
import { Page } from "../ui/page.tsx";
import { Panel } from "../ui/panel.tsx";
import { ARN_OF_USER, INVITATIONS, type User } from "./people.ts";

interface Made {
  user: string;
  url: string;
  expires: number;
}

const HOURS = [
  { value: "1", label: "1 hour" },
  { value: "24", label: "1 day" },
  { value: "72", label: "3 days" },
  { value: "168", label: "1 week" },
];
/** What IAM takes as a name. */
const NAME = /^[\w+=,.@-]{1,64}$/;
/** The largest page of IAM's lists. */
const MANY = { MaxItems: 1000 };

export function InvitePage() {
  const [made, setMade] = useState<Made | null>(null);
  return (
    <Page
      title="Invite someone"
      parent={{ label: "People", to: "/people" }}
      description="You can give only what your own policies let you give; the server decides each step."
    >
      {made ? <Link made={made} again={() => setMade(null)} /> : <Form onMade={setMade} />}
    </Page>
  );
}

function Form({ onMade }: { onMade: (made: Made) => void }) {
  const { account } = useSession();
  const queries = useQueryClient();
  const mayCreate = useMay("iam:CreateUser") === true;
  const mayGroup = useMay("iam:AddUserToGroup") === true;
  const mayAttach = useMay("iam:AttachUserPolicy") === true;
  const [name, setName] = useState("");
  const [groups, setGroups] = useState<string[]>([]);
  const [policies, setPolicies] = useState<string[]>([]);
  const [hours, setHours] = useState("24");
  const user = name.trim();
  const users = useCall<{ Users: User[] }>("iam", "ListUsers", MANY);
  const allGroups = useCall<{ Groups: { GroupName: string }[] }>("iam", "ListGroups", MANY, { enabled: mayGroup });
  const allPolicies = useCall<{ Policies: { PolicyName: string; Arn: string }[] }>("iam", "ListPolicies", MANY, {
    enabled: mayAttach,
  });
  const exists = users.data?.Users.some((one) => one.UserName.toLowerCase() === user.toLowerCase()) ?? false;
  const mayInvite = useMay("iam:CreateLoginProfile", ARN_OF_USER(account, user || "*"));
  const invite = useAction({
    run: async () => {
      // Each step is IAM's own and may have been done by an attempt that failed later.
      if (!exists) await call("iam", "CreateUser", { UserName: user }).catch(ignore("EntityAlreadyExists"));
      for (const GroupName of groups) await call("iam", "AddUserToGroup", { UserName: user, GroupName });
      for (const PolicyArn of policies) await call("iam", "AttachUserPolicy", { UserName: user, PolicyArn });
      return postJson<Made>("invitations/make", { user, hours: Number(hours) });
    },
    refresh: [INVITATIONS, ["iam"]],
    onDone: onMade,
    quiet: true,
  });
  const problem = user !== "" && !NAME.test(user) ? "Letters, digits and _+=,.@- only" : null;
  const missing = !exists && !mayCreate && user !== "" ? "There is no such user, and you may not make one" : null;
  return (
    <Panel>
      <form
        onSubmit={(event) => {
          event.preventDefault();
          invite.mutate(undefined, { onError: () => void queries.invalidateQueries({ queryKey: ["iam"] }) });
        }}
      >
        <Stack maw={560}>
          {invite.error && <ErrorPanel error={invite.error} title="The invitation was not made" />}
          <TextInput
            label="User"
            description={exists ? "This user is there already; what you choose is added." : "A new user is made."}
            autoComplete="off"
            autoCapitalize="none"
            spellCheck={false}
            value={name}
            error={problem ?? missing}
            onChange={(event) => setName(event.currentTarget.value)}
          />
          {mayGroup && (
            <MultiSelect
              label="Groups"
              searchable
              clearButtonProps={{ "aria-label": "Choose no group" }}
              data={allGroups.data?.Groups.map((one) => one.GroupName) ?? []}
              value={groups}
              onChange={setGroups}
              nothingFoundMessage="There is no such group"
            />
          )}
          {mayAttach && (
            <MultiSelect
              label="Policies"
              searchable
              clearButtonProps={{ "aria-label": "Choose no policy" }}
              data={allPolicies.data?.Policies.map((one) => ({ value: one.Arn, label: one.PolicyName })) ?? []}
              value={policies}
              onChange={setPolicies}
              nothingFoundMessage="There is no such policy"
            />
          )}
          <Select
            label="The link works for"
            data={HOURS}
            value={hours}
            allowDeselect={false}
            onChange={(value) => setHours(value ?? "24")}
          />
          {exists && (
            <Text size="sm" c="dimmed">
              If this user signs in already, the link replaces their passkeys and password once it is used.
            </Text>
          )}
          <Group>
            <Button
              type="submit"
              loading={invite.isPending}
              disabled={user === "" || problem !== null || missing !== null || mayInvite === false}
            >
              Make the link
            </Button>
          </Group>
        </Stack>
      </form>
    </Panel>
  );
}

function ignore(code: string) {
  return (error: unknown) => {
    if (!(error instanceof ApiError) || error.code !== code) throw error;
  };
}

function Link({ made, again }: { made: Made; again: () => void }) {
  return (
    <Panel title={`The link for ${made.user}`}>
      <Stack>
        <Alert variant="light" color="yellow" icon={<KeyRound size={18} aria-hidden />} title="Shown once">
          Hand it over in a way that reaches only {made.user}: whoever opens it first is {made.user}. It works once,
          until {absolute(made.expires)}.
        </Alert>
        <CodeBlock text={made.url} label="the link" wrap />
        <Group>
          <Button variant="default" onClick={again}>
            Invite another person
          </Button>
        </Group>
      </Stack>
    </Panel>
  );
}
