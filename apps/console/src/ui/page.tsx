// The frame of a page: title in the tab and in the heading, where it belongs, what can be done here.
import { Group, Stack, Text, Title } from "@mantine/core";
import { type ReactNode, useEffect, useRef } from "react";
import { TextLink } from "./link.tsx";
import classes from "./page.module.css";

export interface PageProps {
  title: string;
  description?: ReactNode;
  /** The page one level up. */
  parent?: { label: string; to: string };
  /** Beside the title: a status badge. */
  aside?: ReactNode;
  actions?: ReactNode;
  children: ReactNode;
}

let first = true;

export function Page({ title, description, parent, aside, actions, children }: PageProps) {
  const heading = useRef<HTMLHeadingElement>(null);
  useEffect(() => {
    document.title = `${title} · Marram`;
  }, [title]);
  useEffect(() => {
    // After a navigation the reader starts at the new heading; on the first load the browser's own order stands.
    if (!first && !document.querySelector("[role=dialog]")) heading.current?.focus({ preventScroll: true });
    first = false;
  }, []);
  return (
    <div className={classes.page}>
      <header className={classes.header}>
        <div className={classes.heading}>
          {parent && (
            <Text size="xs" mb={2} component="nav" aria-label="Breadcrumb">
              <TextLink to={parent.to}>{parent.label}</TextLink>
              <span className={classes.slash} aria-hidden>
                /
              </span>
            </Text>
          )}
          <Group gap="sm" align="center">
            <Title order={1} ref={heading} tabIndex={-1} className="breakable">
              {title}
            </Title>
            {aside}
          </Group>
          {description && (
            <Text c="dimmed" mt={4} maw={760} component="div" size="sm">
              {description}
            </Text>
          )}
        </div>
        {actions && <Group gap="xs">{actions}</Group>}
      </header>
      <Stack gap="lg">{children}</Stack>
    </div>
  );
}
