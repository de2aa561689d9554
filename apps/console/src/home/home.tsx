// Home: what runs, what needs somebody, how busy it is, what to do next.
import { useMayAll } from "../api/may.tsx";
import { useSession } from "../api/session.ts";
import { Page } from "../ui/page.tsx";
import { Columns } from "../ui/panel.tsx";
import { Attention } from "./attention.tsx";
import { Charts } from "./charts.tsx";
import { Connect } from "./connect.tsx";
import { NextSteps } from "./next-steps.tsx";
import { Tiles } from "./tiles.tsx";
import { useOverview } from "./use-overview.ts";

const NEEDED = [
  "greengrass:ListCoreDevices",
  "greengrass:ListDeployments",
  "greengrass:ListComponents",
  "iotthingsgraph:SearchSystemInstances",
  "cloudwatch:GetMetricData",
];

export function HomePage() {
  const session = useSession();
  const { known, allowed } = useMayAll(NEEDED.map((action) => ({ action, resource: "*" })));
  const [cores = false, deployments = false, components = false, flows = false, metrics = false] = allowed;
  const overview = useOverview({ cores, deployments, components, flows });
  return (
    <Page title="Home" description={`Account ${session.accountName || session.account} in ${session.region}`}>
      <Tiles overview={overview} may={{ cores, deployments, components, flows }} known={known} />
      <Columns min={26}>
        {(cores || deployments) && <Attention overview={overview} />}
        <NextSteps overview={overview} may={{ cores, deployments, components, flows }} />
      </Columns>
      {metrics && <Charts />}
      <Connect />
    </Page>
  );
}
