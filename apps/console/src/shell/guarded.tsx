// A page behind the action it needs: those who may not see it get told so, not an empty frame.

import { Lock } from "lucide-react";
import type { ReactNode } from "react";
import { useMay } from "../api/may.tsx";
import { Empty } from "../ui/empty.tsx";
import { Page } from "../ui/page.tsx";
import type { PageEntry } from "./page-entry.ts";
import { PagePending } from "./page-states.tsx";

export function Guarded({ entry, children }: { entry: PageEntry; children: ReactNode }) {
  return entry.needs === undefined ? <>{children}</> : <Asked needs={entry.needs}>{children}</Asked>;
}

function Asked({ needs, children }: { needs: string; children: ReactNode }) {
  const allowed = useMay(needs);
  if (allowed === undefined) return <PagePending />;
  if (allowed) return <>{children}</>;
  return (
    <Page title="Not available">
      <Empty icon={Lock} title="Your policies do not allow this page">
        It needs <code>{needs}</code>. An administrator of this account can grant it.
      </Empty>
    </Page>
  );
}
