// The people of the account: who can sign in, who is invited, and the invitation of a further one.
import { Badge, Button, Group } from "@mantine/core";
import { Link } from "@tanstack/react-router";
import { UserPlus, Users } from "lucide-react";
import { useState } from "react";
import { useAction, usePages } from "../api/call.ts";
import { postJson } from "../api/client.ts";
import { May } from "../api/may.tsx";
import { Confirm } from "../ui/confirm.tsx";
import { DataTable } from "../ui/data-table.tsx";
import { Empty } from "../ui/empty.tsx";
import { Page } from "../ui/page.tsx";
import { Panel } from "../ui/panel.tsx";
import { When } from "../ui/when.tsx";
import { INVITATIONS, type Invitation, type User, useInvitations } from "./people.ts";

export function PeoplePage() {
  const users = usePages<{ Users: User[] }, User>(
    "iam",
    "ListUsers",
    {},
    { items: (output) => output.Users, tokenIn: "Marker", tokenOut: "Marker" },
  );
  const { data: known } = useInvitations();
  const [withdrawn, setWithdrawn] = useState<Invitation | null>(null);
  const withdraw = useAction({
    run: (invitation: Invitation) => postJson("invitations/withdraw", { user: invitation.user }),
    done: (_, invitation) => `The invitation of ${invitation.user} opens nothing any more.`,
    refresh: [INVITATIONS],
    onDone: () => setWithdrawn(null),
  });
  const invitationOf = (user: User) => known?.invitations.find((one) => one.user === user.UserName);
  return (
    <Page
      title="People"
      description="IAM users of this account. Whoever is invited chooses a passkey or a password and may do what their policies say."
      actions={
        <May action="iam:CreateLoginProfile">
          <Button component={Link} to="/invite" leftSection={<UserPlus size={16} aria-hidden />}>
            Invite someone
          </Button>
        </May>
      }
    >
      <Panel flush>
        <DataTable
          label="people"
          rows={users.items}
          rowKey={(user) => user.Arn}
          source={users}
          columns={[
            { key: "name", header: "User", cell: (user) => user.UserName },
            {
              key: "state",
              header: "Sign-in",
              cell: (user) => {
                const invitation = invitationOf(user);
                return (
                  <Group gap="xs">
                    {known?.entered.includes(user.UserName) && <Badge variant="light">can sign in</Badge>}
                    {invitation && (
                      <Badge variant="light" color="yellow">
                        invited, ends <When at={invitation.expires} />
                      </Badge>
                    )}
                  </Group>
                );
              },
            },
            { key: "created", header: "Made", wide: true, cell: (user) => <When at={user.CreateDate} /> },
            {
              key: "acts",
              header: "",
              cell: (user) => {
                const invitation = invitationOf(user);
                if (!invitation) return null;
                return (
                  <May action="iam:DeleteLoginProfile" resource={user.Arn}>
                    <Button
                      size="compact-xs"
                      variant="default"
                      aria-label={`Withdraw the invitation of ${user.UserName}`}
                      onClick={() => setWithdrawn(invitation)}
                    >
                      Withdraw
                    </Button>
                  </May>
                );
              },
            },
          ]}
          empty={
            <Empty icon={Users} title="Nobody yet">
              Invite the people who work with this installation.
            </Empty>
          }
        />
      </Panel>
      <Confirm
        opened={withdrawn !== null}
        onClose={() => setWithdrawn(null)}
        onConfirm={() => withdrawn && withdraw.mutate(withdrawn)}
        title={`Withdraw the invitation of ${withdrawn?.user ?? ""}?`}
        verb="Withdraw"
        busy={withdraw.isPending}
      >
        The link opens nothing any more. The user and its policies stay.
      </Confirm>
    </Page>
  );
}
