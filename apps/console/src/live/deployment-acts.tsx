// What can be done with a deployment: deploy again, undeploy, delete; asks first and shows the progress.
import { Alert, Button, Group, Modal, Progress, Stack, Text } from "@mantine/core";
import { useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { call, useAction } from "../api/call.ts";
import { type DeploymentStatus, type DeploymentSummary, GRAPH } from "../designer/api.ts";
import { follow } from "../designer/deploy/run.ts";
import { urnName } from "../models/urn.ts";
import { sentence } from "../ui/format.ts";

export type Act = "deploy" | "undeploy" | "delete";

/** What a status allows (things-graph.md 7.5). */
export function actsOf(status: DeploymentStatus): { act: Act; label: string }[] {
  const deploy = {
    act: "deploy" as const,
    label: status === "NOT_DEPLOYED" || status === "DELETED_IN_TARGET" ? "Deploy" : "Deploy again",
  };
  const undeploy = { act: "undeploy" as const, label: "Undeploy…" };
  const remove = { act: "delete" as const, label: "Delete…" };
  switch (status) {
    case "NOT_DEPLOYED":
    case "DELETED_IN_TARGET":
      return [deploy, remove];
    case "DEPLOYED_IN_TARGET":
      return [deploy, undeploy];
    case "FAILED":
      return [deploy, undeploy, remove];
    default:
      return [];
  }
}

const TEXTS: Readonly<Record<Act, { title: string; text: string; verb: string }>> = {
  deploy: {
    title: "Deploy",
    text: "The newest revisions of its flows are checked and brought to the target. Runs that are under way finish on what they started with.",
    verb: "Deploy",
  },
  undeploy: {
    title: "Undeploy",
    text: "Triggers are disarmed, runs that are under way are stopped, and what the target was allowed for it is taken back.",
    verb: "Undeploy",
  },
  delete: {
    title: "Delete",
    text: "The deployment is forgotten. Its history stays until it is too old. The flow, the system and the things remain.",
    verb: "Delete",
  },
};

export function DeploymentAct({
  deployment,
  act,
  onClose,
  onDeleted,
}: {
  deployment: DeploymentSummary;
  act: Act;
  onClose: () => void;
  onDeleted?: () => void;
}) {
  const queries = useQueryClient();
  const [status, setStatus] = useState<DeploymentStatus | null>(null);
  const { title, text, verb } = TEXTS[act];
  const run = useAction<void, DeploymentStatus | "gone">({
    run: async () => {
      if (act === "delete") {
        await call(GRAPH, "DeleteSystemInstance", { id: deployment.id });
        return "gone";
      }
      await call(GRAPH, act === "deploy" ? "DeploySystemInstance" : "UndeploySystemInstance", { id: deployment.id });
      return (await follow(deployment.id, (summary) => setStatus(summary.status))).status;
    },
    quiet: true,
    onDone: (last) => {
      for (const operation of ["SearchSystemInstances", "GetSystemInstance"])
        void queries.invalidateQueries({ queryKey: [GRAPH, operation] });
      if (last === "gone") onDeleted?.();
      if (last === "gone" || last === "DEPLOYED_IN_TARGET" || last === "DELETED_IN_TARGET") onClose();
    },
  });
  return (
    <Modal
      opened
      onClose={onClose}
      title={`${title} “${urnName(deployment.id)}”`}
      closeButtonProps={{ "aria-label": "Close" }}
    >
      <Stack gap="md">
        <Text size="sm">{text}</Text>
        {run.isPending && (
          <Stack gap={6} role="status">
            <Text size="sm">{status ? sentence(status) : "Asking…"}</Text>
            <Progress value={status ? 60 : 20} animated aria-label={verb} />
          </Stack>
        )}
        {run.isError && (
          <Alert color="red" role="alert" className="breakable">
            {run.error.message}
          </Alert>
        )}
        {run.isSuccess && <Alert color={run.data === "FAILED" ? "red" : "blue"}>{sentence(run.data)}</Alert>}
        <Group justify="flex-end">
          <Button variant="default" onClick={onClose}>
            {run.isSuccess ? "Close" : "Cancel"}
          </Button>
          {!run.isSuccess && (
            <Button
              {...(act === "deploy" ? {} : { color: "red" })}
              loading={run.isPending}
              onClick={() => run.mutate()}
            >
              {verb}
            </Button>
          )}
        </Group>
      </Stack>
    </Modal>
  );
}
