// What the table in routes.tsx holds: a page, where it hangs in the navigation, and who sees it.
import type { ComponentType, ReactNode } from "react";

export type NavGroup = "" | "Build" | "Fleet" | "Messages" | "Security";

export const NAV_GROUPS: readonly NavGroup[] = ["", "Build", "Fleet", "Messages", "Security"];

export interface PageEntry {
  /** Below /console, without parameters: what a page is about stands in the query (`?name=...`), names may hold dots. */
  path: string;
  load: () => Promise<() => ReactNode>;
  /** Left out for pages that are reached from another page. */
  nav?: {
    group: NavGroup;
    label: string;
    icon: ComponentType<{ size?: number | string; "aria-hidden"?: boolean }>;
  };
  /** The IAM action (on `*`) without which the page is neither listed nor opened. */
  needs?: string;
  /** The path of the navigation entry that is lit while this page is open. */
  under?: string;
  /** Takes the whole width and height: editors. */
  bare?: boolean;
}
