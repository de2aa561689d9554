// Nothing to show: says why, and what to do next.
import { Stack, Text, ThemeIcon } from "@mantine/core";
import type { ComponentType, ReactNode } from "react";

export function Empty(props: {
  icon: ComponentType<{ size?: number | string; "aria-hidden"?: boolean }>;
  title: string;
  children?: ReactNode;
  action?: ReactNode;
}) {
  const Icon = props.icon;
  return (
    <Stack align="center" gap="xs" py={48} px="md" ta="center">
      <ThemeIcon size={44} radius="xl" variant="light" color="gray">
        <Icon size={22} aria-hidden />
      </ThemeIcon>
      <Text fw={600} size="md">
        {props.title}
      </Text>
      {props.children && (
        <Text c="dimmed" size="sm" maw={480} component="div">
          {props.children}
        </Text>
      )}
      {props.action && <div>{props.action}</div>}
    </Stack>
  );
}
