// Executions of a deployment, newest first.
import { Skeleton, Stack, Text } from "@mantine/core";
import type { DeploymentStatus, ExecutionSummary } from "../designer/api.ts";
import { ErrorPanel } from "../ui/error-panel.tsx";
import { When } from "../ui/when.tsx";
import classes from "./execution-list.module.css";
import { executionName } from "./executions.ts";
import { duration } from "./fold.ts";

export interface ExecutionListProps {
  list: { data: ExecutionSummary[] | undefined; isPending: boolean; error: unknown };
  shown: string | null;
  status: DeploymentStatus;
  onChoose: (execution: string) => void;
}

export function ExecutionList({ list, shown, status, onChoose }: ExecutionListProps) {
  if (list.error && !list.data) {
    return (
      <div className={classes.note}>
        <ErrorPanel error={list.error} />
      </div>
    );
  }
  if (list.isPending) {
    return (
      <Stack gap={8} p="sm">
        <Skeleton h={40} />
        <Skeleton h={40} />
        <Skeleton h={40} />
      </Stack>
    );
  }
  if (!list.data || list.data.length === 0) {
    return (
      <Text size="sm" c="dimmed" className={classes.note}>
        {status === "DEPLOYED_IN_TARGET"
          ? "Nothing has run in this time. The next trigger starts the flow."
          : "Nothing has run in this time. Deploy it: its triggers start the flow."}
      </Text>
    );
  }
  return (
    <ul className={classes.list}>
      {list.data.map((one) => {
        const { trigger, tail } = executionName(one.flowExecutionId);
        return (
          <li key={one.flowExecutionId}>
            <button
              type="button"
              className={classes.row}
              aria-current={one.flowExecutionId === shown || undefined}
              onClick={() => onChoose(one.flowExecutionId)}
            >
              <span className={classes.mark} data-status={one.status} title={one.status.toLowerCase()} />
              <span className={classes.words}>
                <span className={classes.name}>{trigger}</span>
                <span className={classes.sub}>
                  <When at={one.createdAt} /> ·{" "}
                  {one.status === "RUNNING"
                    ? "running"
                    : `${one.status === "SUCCEEDED" ? "" : `${one.status.toLowerCase()} · `}${duration((one.updatedAt - one.createdAt) * 1000)}`}
                </span>
              </span>
              <span className={classes.tail}>{tail}</span>
            </button>
          </li>
        );
      })}
    </ul>
  );
}
