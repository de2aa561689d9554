// One component: its versions, the recipe of one, where to take it from here.
import { Button, NavLink, Skeleton } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { Rocket } from "lucide-react";
import { call, useCall, usePages } from "../api/call.ts";
import { May, useMay } from "../api/may.tsx";
import { useSession } from "../api/session.ts";
import { CodeBlock, Copyable } from "../ui/code-block.tsx";
import { ErrorPanel } from "../ui/error-panel.tsx";
import { Facts } from "../ui/facts.tsx";
import { ButtonLink, useGo, useParam, useSetParams } from "../ui/link.tsx";
import { Page } from "../ui/page.tsx";
import { Panel } from "../ui/panel.tsx";
import { StatusBadge } from "../ui/status-badge.tsx";
import { When } from "../ui/when.tsx";
import classes from "./component.module.css";
import { recipeText, versionArn } from "./recipe.ts";
import { Removal } from "./removal.tsx";
import type { ComponentDescription, ComponentVersion } from "./types.ts";

export function ComponentPage() {
  const name = useParam("name") ?? "";
  const session = useSession();
  const wanted = useParam("version");
  const setParams = useSetParams();
  const arn = `arn:aws:greengrass:${session.region}:${session.account}:components:${name}`;
  const versions = usePages<{ componentVersions: ComponentVersion[] }, ComponentVersion>(
    "greengrassv2",
    "ListComponentVersions",
    { arn },
    { items: (output) => output.componentVersions },
  );
  const version = wanted ?? versions.items[0]?.componentVersion;
  return (
    <Page
      title={name}
      parent={{ label: "Components", to: "/components" }}
      actions={
        version && (
          <>
            <Remove name={name} version={version} last={versions.items.length === 1} />
            <May action="greengrass:CreateDeployment">
              <ButtonLink
                to="/new-deployment"
                search={{ component: name, version }}
                leftSection={<Rocket size={15} aria-hidden />}
              >
                Deploy {version}
              </ButtonLink>
            </May>
          </>
        )
      }
    >
      {versions.error && <ErrorPanel error={versions.error} retry={() => void versions.refetch()} />}
      <div className={classes.split}>
        <Panel title="Versions" flush>
          {versions.isPending && <Skeleton h={36} m="sm" />}
          <div className={classes.versions}>
            {versions.items.map((one) => (
              <NavLink
                key={one.componentVersion}
                component="button"
                label={one.componentVersion}
                active={one.componentVersion === version}
                aria-current={one.componentVersion === version || undefined}
                onClick={() => setParams({ version: one.componentVersion })}
              />
            ))}
            {versions.hasNextPage && (
              <Button
                size="xs"
                variant="subtle"
                onClick={() => void versions.fetchNextPage()}
                loading={versions.isFetchingNextPage}
              >
                Older versions
              </Button>
            )}
          </div>
        </Panel>
        {version && <Version name={name} version={version} />}
      </div>
    </Page>
  );
}

function Version({ name, version }: { name: string; version: string }) {
  const session = useSession();
  const arn = versionArn(session, name, version);
  const description = useCall<ComponentDescription>("greengrassv2", "DescribeComponent", { arn });
  const mayRead = useMay("greengrass:GetComponent");
  const recipe = useQuery({
    queryKey: ["greengrassv2", "GetComponent", arn],
    queryFn: ({ signal }) => recipeText(arn, signal),
    enabled: mayRead === true,
  });
  const state = description.data?.status?.componentState;
  const message = description.data?.status?.message;
  return (
    <div className={classes.version}>
      <Panel title={`Version ${version}`} aside={state && <StatusBadge state={state} />}>
        {description.error ? (
          <ErrorPanel error={description.error} />
        ) : (
          <Facts
            items={[
              ["Description", description.data?.description],
              ["Publisher", description.data?.publisher],
              ["Message", message === "NONE" ? undefined : message, "wide"],
              ["Published", <When key="when" at={description.data?.creationTimestamp} />],
              ["ARN", <Copyable key="arn" text={arn} label="the ARN" />, "wide"],
            ]}
          />
        )}
      </Panel>
      {mayRead && (
        <Panel title="Recipe">
          {recipe.error ? (
            <ErrorPanel error={recipe.error} retry={() => void recipe.refetch()} />
          ) : recipe.data === undefined ? (
            <Skeleton h={300} />
          ) : (
            <CodeBlock text={recipe.data} label="the recipe" tall />
          )}
        </Panel>
      )}
    </div>
  );
}

function Remove({ name, version, last }: { name: string; version: string; last: boolean }) {
  const session = useSession();
  const go = useGo();
  return (
    <Removal
      action="greengrass:DeleteComponent"
      run={() => call("greengrassv2", "DeleteComponent", { arn: versionArn(session, name, version) })}
      done={`${name} ${version} is deleted.`}
      refresh={[["greengrassv2"]]}
      onDone={() => go(last ? { to: "/components" } : { to: "/component", search: { name } })}
      verb="Delete"
      label={`Delete ${version}`}
      title={`Delete version ${version}?`}
      typed={version}
    >
      Cores that run it keep running it. New deployments cannot use it, and a core that needs it again will not find it.
    </Removal>
  );
}
