// The navigation: only pages that the person may open, in groups.
import { Skeleton } from "@mantine/core";
import { Link } from "@tanstack/react-router";
import { useMayAll } from "../api/may.tsx";
import classes from "./nav.module.css";
import { NAV_GROUPS, type PageEntry } from "./page-entry.ts";

export function Nav({ pages, current }: { pages: PageEntry[]; current: PageEntry | undefined }) {
  const entries = pages.filter((page) => page.nav !== undefined);
  const { known, allowed } = useMayAll(
    entries.filter((page) => page.needs !== undefined).map((page) => ({ action: page.needs ?? "", resource: "*" })),
  );
  const granted = new Set(entries.filter((page) => page.needs !== undefined).filter((_, index) => allowed[index]));
  const lit = current?.under ?? current?.path;

  if (!known) {
    return (
      <div className={classes.nav} aria-busy="true">
        {entries.map((page) => (
          <Skeleton key={page.path} h={20} w="70%" mx="md" my={7} />
        ))}
      </div>
    );
  }
  return (
    <nav className={classes.nav} aria-label="Pages">
      {NAV_GROUPS.map((group) => {
        const shown = entries.filter(
          (page) => page.nav?.group === group && (page.needs === undefined || granted.has(page)),
        );
        if (shown.length === 0) return null;
        return (
          <div key={group} className={classes.group}>
            {group !== "" && <h2 className={classes.title}>{group}</h2>}
            <ul className={classes.list}>
              {shown.map((page) => {
                const Icon = page.nav?.icon;
                return (
                  <li key={page.path}>
                    <Link
                      to={page.path}
                      className={classes.link}
                      data-lit={page.path === lit || undefined}
                      aria-current={page.path === current?.path ? "page" : undefined}
                    >
                      {Icon && <Icon size={16} aria-hidden />}
                      {page.nav?.label}
                    </Link>
                  </li>
                );
              })}
            </ul>
          </div>
        );
      })}
    </nav>
  );
}
