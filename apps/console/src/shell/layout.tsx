// The frame around all pages: skip link, sidebar (a drawer on a phone), main area.
import { ActionIcon, Drawer } from "@mantine/core";
import { useDisclosure, useMediaQuery } from "@mantine/hooks";
import { Outlet, useRouterState } from "@tanstack/react-router";
import { Menu } from "lucide-react";
import { useEffect } from "react";
import { Brand } from "./brand.tsx";
import classes from "./layout.module.css";
import { Nav } from "./nav.tsx";
import type { PageEntry } from "./page-entry.ts";
import { UserMenu } from "./user-menu.tsx";

export function Layout({ pages }: { pages: PageEntry[] }) {
  const narrow = useMediaQuery("(max-width: 48em)", window.innerWidth <= 768, { getInitialValueInEffect: false });
  const [opened, drawer] = useDisclosure(false);
  const path = useRouterState({ select: (state) => state.location.pathname });
  const entry = pages.find((page) => page.path === path);
  // biome-ignore lint/correctness/useExhaustiveDependencies: a new path closes the drawer
  useEffect(() => drawer.close(), [path]);

  return (
    <div className={classes.frame}>
      <a href="#main" className={classes.skip}>
        Skip to the content
      </a>
      {narrow ? (
        <header className={classes.topbar}>
          <ActionIcon variant="subtle" color="gray" size="lg" onClick={drawer.open} aria-label="Open the navigation">
            <Menu size={20} aria-hidden />
          </ActionIcon>
          <Brand />
          <Drawer
            opened={opened}
            onClose={drawer.close}
            size={280}
            withCloseButton={false}
            padding={0}
            title={undefined}
          >
            <div className={classes.drawer}>
              <Nav pages={pages} current={entry} />
              <UserMenu />
            </div>
          </Drawer>
        </header>
      ) : (
        <aside className={classes.sidebar}>
          <div className={classes.brand}>
            <Brand />
          </div>
          <Nav pages={pages} current={entry} />
          <UserMenu />
        </aside>
      )}
      <main id="main" tabIndex={-1} className={classes.main} data-bare={entry?.bare || undefined}>
        <Outlet />
      </main>
    </div>
  );
}
