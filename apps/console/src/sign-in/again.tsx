// A session that ended while a page was open: sign in over the page, which keeps what was typed into it.
import { Anchor, Modal, Text } from "@mantine/core";
import { useQueryClient } from "@tanstack/react-query";
import { useEffect } from "react";
import type { SignedIn } from "../api/session.ts";
import { SignInForm } from "./form.tsx";

export function SignInAgain({ person }: { person: SignedIn }) {
  const queries = useQueryClient();
  useEffect(
    () => () => {
      // What failed while nobody was signed in is asked again.
      void queries.invalidateQueries({ predicate: (query) => query.queryKey[0] !== "session" });
    },
    [queries],
  );
  return (
    <Modal
      opened
      onClose={() => {}}
      withCloseButton={false}
      closeOnClickOutside={false}
      closeOnEscape={false}
      title="Your session has ended"
      size={400}
    >
      <Text size="sm" c="dimmed" mb="md">
        Sign in again and go on where you were. Nothing on the page behind is lost.
      </Text>
      <SignInForm fixed={{ account: person.account, user: person.user }} />
      <Text size="sm" mt="md" ta="center">
        <Anchor href="/console/" size="sm">
          Sign in as someone else
        </Anchor>
      </Text>
    </Modal>
  );
}
