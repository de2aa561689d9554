// The answer to an address that is no page.
import { Compass } from "lucide-react";
import { Empty } from "../ui/empty.tsx";
import { ButtonLink } from "../ui/link.tsx";
import { Page } from "../ui/page.tsx";

export function NotFoundPage() {
  return (
    <Page title="No such page">
      <Empty icon={Compass} title="There is no page at this address" action={<ButtonLink to="/">Go home</ButtonLink>}>
        The link may be from another version of Marram.
      </Empty>
    </Page>
  );
}
