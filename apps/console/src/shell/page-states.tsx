// A page that is being loaded, and one that failed to render.
import { Skeleton, Stack } from "@mantine/core";
import type { ErrorComponentProps } from "@tanstack/react-router";
import { ErrorPanel } from "../ui/error-panel.tsx";
import classes from "../ui/page.module.css";

export function PagePending() {
  return (
    <div className={classes.page} aria-busy="true">
      <Stack gap="md">
        <Skeleton h={26} w={220} />
        <Skeleton h={14} w={380} maw="100%" />
        <Skeleton h={220} mt="md" />
      </Stack>
    </div>
  );
}

export function PageFailed({ error, reset }: ErrorComponentProps) {
  return (
    <div className={classes.page}>
      <ErrorPanel error={error} retry={reset} title="This page stopped working" />
    </div>
  );
}
