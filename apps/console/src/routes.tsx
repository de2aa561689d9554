// The table of all pages, and the router made of it. A new page is one more line here.
import {
  createRootRoute,
  createRoute,
  createRouter,
  lazyRouteComponent,
  type RouteComponent,
} from "@tanstack/react-router";
import { House } from "lucide-react";
import { Guarded } from "./shell/guarded.tsx";
import { Layout } from "./shell/layout.tsx";
import { NotFoundPage } from "./shell/not-found.tsx";
import type { PageEntry } from "./shell/page-entry.ts";
import { PageFailed, PagePending } from "./shell/page-states.tsx";
import { parseSearch, stringifySearch } from "./shell/search.ts";

export const pages: PageEntry[] = [
  {
    path: "/",
    load: async () => (await import("./home/home.tsx")).HomePage,
    nav: { group: "", label: "Home", icon: House },
  },
];

const root = createRootRoute({ component: () => <Layout pages={pages} />, notFoundComponent: NotFoundPage });

const children = pages.map((entry) => {
  const Page = lazyRouteComponent(async () => ({ default: await entry.load() }));
  const component: RouteComponent = () => (
    <Guarded entry={entry}>
      <Page />
    </Guarded>
  );
  component.preload = Page.preload;
  return createRoute({ getParentRoute: () => root, path: entry.path, component });
});

export const router = createRouter({
  routeTree: root.addChildren(children),
  basepath: "/console",
  parseSearch,
  stringifySearch,
  defaultPreload: "intent",
  defaultPendingComponent: PagePending,
  defaultErrorComponent: PageFailed,
  scrollRestoration: true,
});
