// The pages about models, flows, deployments and what runs.
import { Activity, Boxes, Network, Workflow } from "lucide-react";
import type { PageEntry } from "../shell/page-entry.ts";

export const buildPages: PageEntry[] = [
  {
    path: "/models",
    load: async () => (await import("../models/models-page.tsx")).ModelsPage,
    nav: { group: "Build", label: "Models", icon: Boxes },
    needs: "iotthingsgraph:SearchEntities",
  },
  {
    path: "/models/entity",
    load: async () => (await import("../models/entity-page.tsx")).EntityPage,
    needs: "iotthingsgraph:GetEntities",
    under: "/models",
  },
  {
    path: "/models/edit",
    load: async () => (await import("../models/edit-page.tsx")).EditPage,
    needs: "iotthingsgraph:UploadEntityDefinitions",
    under: "/models",
  },
  {
    path: "/models/new",
    load: async () => (await import("../models/wizard-page.tsx")).WizardPage,
    needs: "iotthingsgraph:UploadEntityDefinitions",
    under: "/models",
  },
  {
    path: "/flows",
    load: async () => (await import("./flows-page.tsx")).FlowsPage,
    nav: { group: "Build", label: "Flows", icon: Workflow },
    needs: "iotthingsgraph:SearchFlowTemplates",
  },
  {
    path: "/flows/design",
    load: async () => (await import("./design-page.tsx")).DesignPage,
    needs: "iotthingsgraph:GetFlowTemplate",
    under: "/flows",
    bare: true,
  },
  {
    path: "/flows/deploy",
    load: async () => (await import("./deploy/deploy-page.tsx")).DeployPage,
    needs: "iotthingsgraph:CreateSystemInstance",
    under: "/flows",
  },
  {
    path: "/systems",
    load: async () => (await import("./systems-page.tsx")).SystemsPage,
    nav: { group: "Build", label: "Systems", icon: Network },
    needs: "iotthingsgraph:SearchSystemTemplates",
  },
  {
    path: "/systems/design",
    load: async () => (await import("./system-page.tsx")).SystemPage,
    needs: "iotthingsgraph:GetSystemTemplate",
    under: "/systems",
    bare: true,
  },
  {
    path: "/live",
    load: async () => (await import("../live/live-page.tsx")).LivePage,
    nav: { group: "Build", label: "Live", icon: Activity },
    needs: "iotthingsgraph:SearchSystemInstances",
  },
  {
    path: "/live/watch",
    load: async () => (await import("../live/watch-page.tsx")).WatchPage,
    needs: "iotthingsgraph:SearchFlowExecutions",
    under: "/live",
    bare: true,
  },
  {
    path: "/live/design",
    load: async () => (await import("./deployment-page.tsx")).DeploymentPage,
    needs: "iotthingsgraph:GetSystemInstance",
    under: "/live",
    bare: true,
  },
];
