// Who may do what: from a resource to the principals, from a principal to its rights.

import { useParam } from "../ui/link.tsx";
import { Page } from "../ui/page.tsx";
import { PageTabs } from "../ui/tabs.tsx";
import { PrincipalRights } from "./principal-rights.tsx";
import { WhoCan } from "./who-can.tsx";

export function AccessPage() {
  const principal = useParam("principal");
  const who = { id: "who", label: "Who may use a resource", render: () => <WhoCan /> };
  const what = { id: "what", label: "What a principal may do", render: () => <PrincipalRights /> };
  return (
    <Page
      title="Who may do what"
      description="Answered by the engine that decides every call, connection and publish, not by reading policies."
    >
      <PageTabs tabs={principal === undefined ? [who, what] : [what, who]} />
    </Page>
  );
}
