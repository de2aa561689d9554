// Links within the console, and the query of the address as state.
import { Anchor, type AnchorProps, Button, type ButtonProps } from "@mantine/core";
import { Link, useNavigate, useSearch } from "@tanstack/react-router";
import { type ReactNode, useCallback } from "react";

export interface Target {
  to: string;
  search?: Record<string, string | undefined>;
}

export function TextLink({
  to,
  search,
  children,
  ...rest
}: Target & AnchorProps & { children: ReactNode; title?: string }) {
  return (
    <Anchor inherit {...rest} renderRoot={(props) => <Link to={to} search={(search ?? {}) as never} {...props} />}>
      {children}
    </Anchor>
  );
}

export function ButtonLink({ to, search, children, ...rest }: Target & ButtonProps & { children: ReactNode }) {
  return (
    <Button {...rest} renderRoot={(props) => <Link to={to} search={(search ?? {}) as never} {...props} />}>
      {children}
    </Button>
  );
}

export function useParam(name: string): string | undefined {
  const search = useSearch({ strict: false }) as Record<string, string | undefined>;
  return search[name];
}

/** Sets members of the query and keeps the others; `undefined` removes one. Replaces the history entry. */
export function useSetParams(): (changes: Record<string, string | undefined>) => void {
  const navigate = useNavigate();
  return useCallback(
    (changes) => {
      const search = (previous: Record<string, string | undefined>) => ({ ...previous, ...changes });
      void navigate({ to: ".", search: search as never, replace: true, resetScroll: false });
    },
    [navigate],
  );
}

export function useGo(): (target: Target) => void {
  const navigate = useNavigate();
  return useCallback((target) => void navigate({ to: target.to, search: (target.search ?? {}) as never }), [navigate]);
}
