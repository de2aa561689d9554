// Browse models: what the account and the public library define, by type and name.
import { Badge, Button, Group, SegmentedControl, Select, Skeleton, Text, TextInput } from "@mantine/core";
import { useVirtualizer } from "@tanstack/react-virtual";
import { Boxes, FileCode2, Plus, Search } from "lucide-react";
import { useMemo, useRef } from "react";
import { useSession } from "../api/session.ts";
import { Empty } from "../ui/empty.tsx";
import { ErrorPanel } from "../ui/error-panel.tsx";
import { ButtonLink, TextLink, useParam, useSetParams } from "../ui/link.tsx";
import { Page } from "../ui/page.tsx";
import type { Entity } from "./entity.ts";
import { ENTITY_TYPES, useLibrary } from "./library.ts";
import { METATYPE_WORDS, MetatypeIcon } from "./metatypes.tsx";
import classes from "./models-page.module.css";
import { NamespacePanel } from "./namespace-panel.tsx";
import { isPublic, type Metatype, parseUrn, urnName } from "./urn.ts";

const ROW = 52;

export function ModelsPage() {
  const session = useSession();
  const library = useLibrary(ENTITY_TYPES);
  const owner = useParam("from") ?? "all";
  const type = useParam("type") ?? "";
  const query = useParam("q") ?? "";
  const set = useSetParams();
  const found = useMemo(() => filter(library.all, owner, type, query), [library.all, owner, type, query]);
  const own = library.all.some((one) => !isPublic(one.id));
  return (
    <Page
      title="Models"
      description="What devices and services can do, apart from how they do it. Flows are drawn with models; deployments bind them to things."
      actions={
        <>
          <ButtonLink to="/models/edit" variant="default" leftSection={<FileCode2 size={15} aria-hidden />}>
            Write or upload
          </ButtonLink>
          <ButtonLink to="/models/new" leftSection={<Plus size={15} aria-hidden />}>
            New device model
          </ButtonLink>
        </>
      }
    >
      <NamespacePanel region={session.region} account={session.account} />
      <Group gap="sm">
        <TextInput
          w={280}
          aria-label="Find a model"
          placeholder="Find by name or id"
          leftSection={<Search size={15} aria-hidden />}
          value={query}
          onChange={(event) => set({ q: event.currentTarget.value || undefined })}
        />
        <Select
          w={180}
          size="sm"
          aria-label="Type"
          placeholder="Every type"
          clearable
          data={Object.entries(METATYPE_WORDS).map(([value, words]) => ({ value, label: words.many }))}
          value={type || null}
          onChange={(value) => set({ type: value ?? undefined })}
        />
        <SegmentedControl
          aria-label="From"
          value={owner}
          onChange={(value) => set({ from: value === "all" ? undefined : value })}
          data={[
            { value: "all", label: "All" },
            { value: "yours", label: "Yours" },
            { value: "library", label: "Library" },
          ]}
        />
        <Text size="sm" c="dimmed" ml="auto" role="status">
          {library.isSuccess && `${found.length} of ${library.all.length}`}
        </Text>
      </Group>
      {library.isError && <ErrorPanel error={library.error} retry={() => void library.refetch()} />}
      {library.isPending && <Skeleton h={320} />}
      {library.isSuccess && found.length === 0 && (
        <Empty
          icon={Boxes}
          title={owner === "yours" && !own ? "No models of your own yet" : "Nothing matches"}
          action={
            owner === "yours" && !own ? (
              <ButtonLink to="/models/new">New device model</ButtonLink>
            ) : (
              <Button variant="default" onClick={() => set({ q: undefined, type: undefined, from: undefined })}>
                Show everything
              </Button>
            )
          }
        >
          {owner === "yours" && !own
            ? "The wizard makes a model from a short form and shows the text it writes. Documents from Things Graph can be uploaded as they are."
            : "No entity has this name, type and origin."}
        </Empty>
      )}
      {found.length > 0 && <List found={found} />}
    </Page>
  );
}

function filter(all: readonly Entity[], owner: string, type: string, query: string): Entity[] {
  const words = query.toLowerCase().split(/\s+/).filter(Boolean);
  const order = Object.keys(METATYPE_WORDS);
  return all
    .filter(
      (one) =>
        (type === "" || one.metatype === type) &&
        (owner === "all" || (owner === "yours") !== isPublic(one.id)) &&
        words.every((word) => one.id.toLowerCase().includes(word) || one.description.toLowerCase().includes(word)),
    )
    .sort(
      (one, other) =>
        Number(isPublic(one.id)) - Number(isPublic(other.id)) ||
        order.indexOf(one.metatype) - order.indexOf(other.metatype) ||
        urnName(one.id).localeCompare(urnName(other.id)),
    );
}

function List({ found }: { found: readonly Entity[] }) {
  const scroller = useRef<HTMLDivElement>(null);
  const rows = useVirtualizer({
    count: found.length,
    getScrollElement: () => scroller.current,
    estimateSize: () => ROW,
    overscan: 10,
    initialRect: { width: 800, height: 600 },
  });
  return (
    <section className={classes.list} ref={scroller} aria-label="Models" tabIndex={0}>
      <ul className={classes.rows} ref={(list) => void list?.style.setProperty("height", `${rows.getTotalSize()}px`)}>
        {rows.getVirtualItems().map((item) => {
          const one = found[item.index];
          return one ? (
            <li key={item.key} className={classes.row} style={{ transform: `translateY(${item.start}px)` }}>
              <span className={classes.icon}>
                <MetatypeIcon metatype={one.metatype} />
              </span>
              <span className={classes.words}>
                <TextLink to="/models/entity" search={{ id: one.id }} fw={600}>
                  {urnName(one.id)}
                </TextLink>
                <span className={classes.sub}>{one.description || summary(one)}</span>
              </span>
              <Badge color="gray" tt="none">
                {METATYPE_WORDS[one.metatype]?.one ?? one.metatype}
              </Badge>
              <Text className={classes.namespace}>{isPublic(one.id) ? parseUrn(one.id)?.namespace : "yours"}</Text>
            </li>
          ) : null;
        })}
      </ul>
    </section>
  );
}

/** One line about an entity that has no description. */
export function summary(entity: Entity): string {
  const names = (kind: string, list: readonly { name: string }[]) =>
    list.length > 0 ? `${kind} ${list.map((one) => one.name).join(", ")}` : "";
  const shown: Partial<Record<Metatype, string>> = {
    Capability: [names("actions", entity.actions), names("events", entity.events)].filter(Boolean).join(" · "),
    Action: `${names("takes", entity.fields) || "takes nothing"}${entity.returns ? `, gives ${urnName(entity.returns.urn)}` : ""}`,
    State: names("fields", entity.fields),
    Enum: entity.values.map((one) => one.name).join(", "),
    Device: [entity.protocol, entity.model && `a ${urnName(entity.model)}`].filter(Boolean).join(" · "),
    Service: [entity.protocol, names("actions", entity.actions)].filter(Boolean).join(" · "),
  };
  return shown[entity.metatype] ?? entity.facets.map((facet) => `${facet.name} ${urnName(facet.value)}`).join(" · ");
}
