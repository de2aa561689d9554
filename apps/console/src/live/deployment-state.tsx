// The status of a deployment in a word people use.
import { Badge, Loader } from "@mantine/core";
import { type DeploymentStatus, IN_PROGRESS } from "../designer/api.ts";

const WORDS: Readonly<Record<DeploymentStatus, readonly [string, string]>> = {
  NOT_DEPLOYED: ["not deployed", "gray"],
  BOOTSTRAP: ["being prepared", "blue"],
  DEPLOY_IN_PROGRESS: ["being deployed", "blue"],
  DEPLOYED_IN_TARGET: ["deployed", "grass"],
  UNDEPLOY_IN_PROGRESS: ["being removed", "blue"],
  FAILED: ["failed", "red"],
  PENDING_DELETE: ["being removed", "blue"],
  DELETED_IN_TARGET: ["removed", "gray"],
};

export function DeploymentState({ status }: { status: DeploymentStatus }) {
  const [word, color] = WORDS[status] ?? [status, "gray"];
  return (
    <Badge
      color={color}
      tt="none"
      leftSection={IN_PROGRESS.has(status) ? <Loader size={9} type="oval" aria-hidden /> : undefined}
    >
      {word}
    </Badge>
  );
}
