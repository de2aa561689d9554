// Tabs whose choice stands in the address (`?tab=...`), so that a link leads to it.
import { Tabs } from "@mantine/core";
import type { ReactNode } from "react";
import { useParam, useSetParams } from "./link.tsx";

export interface Tab {
  id: string;
  label: ReactNode;
  render: () => ReactNode;
}

/** The first tab is the one without a word in the address. */
export function PageTabs({ tabs }: { tabs: Tab[] }) {
  const wanted = useParam("tab");
  const setParams = useSetParams();
  const first = tabs[0]?.id ?? "";
  const current = tabs.some((tab) => tab.id === wanted) ? (wanted ?? first) : first;
  return (
    <Tabs
      value={current}
      onChange={(id) => setParams({ tab: id === null || id === first ? undefined : id })}
      keepMounted={false}
    >
      <Tabs.List mb="md">
        {tabs.map((tab) => (
          <Tabs.Tab key={tab.id} value={tab.id}>
            {tab.label}
          </Tabs.Tab>
        ))}
      </Tabs.List>
      {tabs.map((tab) => (
        <Tabs.Panel key={tab.id} value={tab.id}>
          {tab.render()}
        </Tabs.Panel>
      ))}
    </Tabs>
  );
}
