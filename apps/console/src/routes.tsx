// The table of all pages, and the router made of it. A new page is one more line here.
import {
  createRootRoute,
  createRoute,
  createRouter,
  lazyRouteComponent,
  type RouteComponent,
} from "@tanstack/react-router";
import {
  BadgeCheck,
  Cpu,
  FileCheck2,
  FolderTree,
  House,
  KeyRound,
  Package,
  Radio,
  Rocket,
  Router,
  ScrollText,
  Users,
} from "lucide-react";
import { buildPages } from "./designer/pages.ts";
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
  ...buildPages,
  {
    path: "/cores",
    load: async () => (await import("./fleet/cores.tsx")).CoresPage,
    nav: { group: "Fleet", label: "Cores", icon: Router },
    needs: "greengrass:ListCoreDevices",
  },
  {
    path: "/core",
    load: async () => (await import("./fleet/core.tsx")).CorePage,
    needs: "greengrass:GetCoreDevice",
    under: "/cores",
  },
  {
    path: "/add-core",
    load: async () => (await import("./fleet/add-core.tsx")).AddCorePage,
    needs: "iot:CreateThing",
    under: "/cores",
  },
  {
    path: "/components",
    load: async () => (await import("./fleet/components.tsx")).ComponentsPage,
    nav: { group: "Fleet", label: "Components", icon: Package },
    needs: "greengrass:ListComponents",
  },
  {
    path: "/component",
    load: async () => (await import("./fleet/component.tsx")).ComponentPage,
    needs: "greengrass:ListComponentVersions",
    under: "/components",
  },
  {
    path: "/new-component",
    load: async () => (await import("./fleet/new-component.tsx")).NewComponentPage,
    needs: "greengrass:CreateComponentVersion",
    under: "/components",
  },
  {
    path: "/deployments",
    load: async () => (await import("./fleet/deployments.tsx")).DeploymentsPage,
    nav: { group: "Fleet", label: "Deployments", icon: Rocket },
    needs: "greengrass:ListDeployments",
  },
  {
    path: "/deployment",
    load: async () => (await import("./fleet/deployment.tsx")).DeploymentPage,
    needs: "greengrass:GetDeployment",
    under: "/deployments",
  },
  {
    path: "/new-deployment",
    load: async () => (await import("./fleet/new-deployment.tsx")).NewDeploymentPage,
    needs: "greengrass:CreateDeployment",
    under: "/deployments",
  },
  {
    path: "/things",
    load: async () => (await import("./fleet/things.tsx")).ThingsPage,
    nav: { group: "Fleet", label: "Things", icon: Cpu },
    needs: "iot:ListThings",
  },
  {
    path: "/thing",
    load: async () => (await import("./fleet/thing.tsx")).ThingPage,
    needs: "iot:DescribeThing",
    under: "/things",
  },
  {
    path: "/groups",
    load: async () => (await import("./fleet/groups.tsx")).GroupsPage,
    nav: { group: "Fleet", label: "Thing groups", icon: FolderTree },
    needs: "iot:ListThingGroups",
  },
  {
    path: "/group",
    load: async () => (await import("./fleet/group.tsx")).GroupPage,
    needs: "iot:DescribeThingGroup",
    under: "/groups",
  },
  {
    path: "/logs",
    load: async () => (await import("./fleet/logs.tsx")).LogsPage,
    nav: { group: "Fleet", label: "Logs", icon: ScrollText },
    needs: "logs:DescribeLogGroups",
  },
  {
    path: "/mqtt",
    load: async () => (await import("./messages/mqtt.tsx")).MqttPage,
    nav: { group: "Messages", label: "MQTT test client", icon: Radio },
    needs: "iot:Subscribe",
  },
  {
    path: "/certificates",
    load: async () => (await import("./security/certificates.tsx")).CertificatesPage,
    nav: { group: "Security", label: "Certificates", icon: BadgeCheck },
    needs: "iot:ListCertificates",
  },
  {
    path: "/certificate",
    load: async () => (await import("./security/certificate.tsx")).CertificatePage,
    needs: "iot:DescribeCertificate",
    under: "/certificates",
  },
  {
    path: "/access",
    load: async () => (await import("./security/access.tsx")).AccessPage,
    nav: { group: "Security", label: "Who may do what", icon: KeyRound },
    needs: "iam:SimulatePrincipalPolicy",
  },
  {
    path: "/people",
    load: async () => (await import("./security/people.tsx")).PeoplePage,
    nav: { group: "Security", label: "People", icon: Users },
    needs: "iam:ListUsers",
  },
  {
    path: "/invite",
    load: async () => (await import("./security/invite.tsx")).InvitePage,
    needs: "iam:CreateLoginProfile",
    under: "/people",
  },
  {
    path: "/audit",
    load: async () => (await import("./security/audit.tsx")).AuditPage,
    nav: { group: "Security", label: "Audit log", icon: FileCheck2 },
    needs: "cloudtrail:LookupEvents",
  },
  {
    path: "/my-sign-in",
    load: async () => (await import("./sign-in/my-sign-in.tsx")).MySignInPage,
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
