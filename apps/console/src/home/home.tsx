// Home: what runs, what failed, what to do next.
import { Text } from "@mantine/core";
import { useSession } from "../api/session.ts";
import { Page } from "../ui/page.tsx";

export function HomePage() {
  const session = useSession();
  return (
    <Page title="Home">
      <Text>
        Signed in as {session.user} in account {session.accountName}, region {session.region}.
      </Text>
    </Page>
  );
}
