// One entity: the picture of what it offers, what it does on the wire, who uses it, its text.
import { Badge, Button, Group, Skeleton, Table, Text } from "@mantine/core";
import { Boxes, FileCode2 } from "lucide-react";
import { useMemo } from "react";
import { useCall, usePages } from "../api/call.ts";
import { TdmEditor } from "../tdm-editor/tdm-editor.tsx";
import { Empty } from "../ui/empty.tsx";
import { ErrorPanel } from "../ui/error-panel.tsx";
import { ButtonLink, TextLink, useParam } from "../ui/link.tsx";
import { Page } from "../ui/page.tsx";
import { CapabilityGraph } from "./capability-graph.tsx";
import { type Entity, type Member, references, wire } from "./entity.ts";
import classes from "./entity-page.module.css";
import { capabilityOf } from "./graph.ts";
import { describe, ENTITY_TYPES, type EntityDescription, useLibrary } from "./library.ts";
import { METATYPE_WORDS, MetatypeIcon } from "./metatypes.tsx";
import { isPublic, urnKey, urnName } from "./urn.ts";

export function EntityPage() {
  const id = useParam("id");
  const read = useCall<{ descriptions: EntityDescription[] }>(
    "iotthingsgraph",
    "GetEntities",
    { ids: [id] },
    { enabled: id !== undefined },
  );
  const library = useLibrary(ENTITY_TYPES);
  const description = read.data?.descriptions[0];
  const entity = useMemo(() => (description ? describe(description)[0] : undefined), [description]);
  const parent = { label: "Models", to: "/models" };
  if (!id || (read.isSuccess && !entity)) {
    return (
      <Page title="No such model" parent={parent}>
        <Empty icon={Boxes} title="This id names nothing" action={<ButtonLink to="/models">All models</ButtonLink>}>
          {id}
        </Empty>
      </Page>
    );
  }
  return (
    <Page
      title={urnName(id)}
      parent={parent}
      description={entity?.description || id}
      aside={
        entity && (
          <Badge color="gray" tt="none" leftSection={<MetatypeIcon metatype={entity.metatype} size={13} />}>
            {METATYPE_WORDS[entity.metatype]?.one}
          </Badge>
        )
      }
      actions={
        entity && !isPublic(id) ? (
          <ButtonLink
            to="/models/edit"
            search={{ id }}
            variant="default"
            leftSection={<FileCode2 size={15} aria-hidden />}
          >
            Edit
          </ButtonLink>
        ) : undefined
      }
    >
      {read.isError && <ErrorPanel error={read.error} retry={() => void read.refetch()} />}
      {read.isPending && <Skeleton h={280} />}
      {entity && <Shown entity={entity} known={library.known} source={description?.definition?.text ?? ""} />}
    </Page>
  );
}

function Shown({ entity, known, source }: { entity: Entity; known: ReadonlyMap<string, Entity>; source: string }) {
  const offered = capabilityOf(entity, known);
  const capability = entity.metatype === "Capability" ? entity : offered ? known.get(urnKey(offered)) : undefined;
  const lines = entity.metatype === "Device" || entity.metatype === "Service" ? wire(entity) : [];
  const refers = references(entity);
  return (
    <>
      {capability && (
        <section aria-label="What it offers">
          <h2 className={classes.title}>What it offers</h2>
          <CapabilityGraph capability={capability} known={known} />
        </section>
      )}
      {(entity.metatype === "Action" || entity.metatype === "State" || entity.metatype === "Enum") && (
        <Fields entity={entity} />
      )}
      {entity.facets.length > 0 && entity.metatype === "Property" && (
        <section aria-label="Facets">
          <h2 className={classes.title}>Facets</h2>
          <Group gap="xs">
            {entity.facets.map((facet) => (
              <Badge key={facet.name} color="gray" tt="none">
                {facet.name} {urnName(facet.value)}
              </Badge>
            ))}
          </Group>
        </section>
      )}
      {lines.length > 0 && (
        <section aria-label="On the wire">
          <h2 className={classes.title}>On the wire · {entity.protocol}</h2>
          <div className={classes.scroll}>
            <Table verticalSpacing={6} fz="sm">
              <Table.Thead>
                <Table.Tr>
                  <Table.Th>Member</Table.Th>
                  <Table.Th>Operation</Table.Th>
                  <Table.Th>Goes to</Table.Th>
                  <Table.Th>Answer</Table.Th>
                </Table.Tr>
              </Table.Thead>
              <Table.Tbody>
                {lines.map((line) => (
                  <Table.Tr key={`${line.kind} ${line.member}`}>
                    <Table.Td>
                      {line.member}{" "}
                      <Badge size="xs" color={line.kind === "event" ? "yellow" : "grass"}>
                        {line.kind}
                      </Badge>
                    </Table.Td>
                    <Table.Td>{line.operation}</Table.Td>
                    <Table.Td className={classes.mono}>{line.target}</Table.Td>
                    <Table.Td className={classes.mono}>{line.answer}</Table.Td>
                  </Table.Tr>
                ))}
              </Table.Tbody>
            </Table>
          </div>
        </section>
      )}
      <div className={classes.columns}>
        <section aria-label="Uses">
          <h2 className={classes.title}>Uses</h2>
          <Links urns={refers} empty="Nothing but the language itself." />
        </section>
        <UsedBy id={entity.id} />
      </div>
      <section aria-label="Definition">
        <h2 className={classes.title}>Definition</h2>
        <div className={classes.source}>
          <TdmEditor value={source} label="Definition of the entity" readOnly />
        </div>
      </section>
    </>
  );
}

function Fields({ entity }: { entity: Entity }) {
  const rows: Member[] = [...entity.fields, ...(entity.returns ? [entity.returns] : [])];
  return (
    <section aria-label="Fields">
      <h2 className={classes.title}>
        {entity.metatype === "Enum" ? "Values" : entity.metatype === "Action" ? "Takes and gives" : "Fields"}
      </h2>
      <Table verticalSpacing={6} fz="sm" maw={640}>
        <Table.Tbody>
          {entity.values.map((value) => (
            <Table.Tr key={value.name}>
              <Table.Td>{value.name}</Table.Td>
              <Table.Td className="tabular">{value.value}</Table.Td>
            </Table.Tr>
          ))}
          {rows.map((field) => (
            <Table.Tr key={field.name}>
              <Table.Td fw={500}>{field === entity.returns ? "gives" : field.name}</Table.Td>
              <Table.Td>
                <TextLink to="/models/entity" search={{ id: field.urn }}>
                  {field.list ? `[${urnName(field.urn)}]` : urnName(field.urn)}
                </TextLink>
                {field.required && " · required"}
              </Table.Td>
            </Table.Tr>
          ))}
          {rows.length + entity.values.length === 0 && (
            <Table.Tr>
              <Table.Td c="dimmed">Nothing.</Table.Td>
            </Table.Tr>
          )}
        </Table.Tbody>
      </Table>
    </section>
  );
}

function UsedBy({ id }: { id: string }) {
  const users = usePages<{ descriptions?: EntityDescription[]; nextToken?: string }, EntityDescription>(
    "iotthingsgraph",
    "SearchEntities",
    { entityTypes: ENTITY_TYPES, filters: [{ name: "REFERENCED_ENTITY_ID", value: [id] }], maxResults: 50 },
    { items: (page) => page.descriptions },
  );
  return (
    <section aria-label="Used by">
      <h2 className={classes.title}>Used by</h2>
      {users.isPending && <Skeleton h={60} />}
      {users.isError && (
        <Text size="sm" c="dimmed">
          This cannot be read.
        </Text>
      )}
      {users.isSuccess && (
        <Links urns={users.items.map((one) => one.id)} empty="No entity refers to it. Flows are not counted here." />
      )}
      {users.hasNextPage && (
        <Button
          size="xs"
          variant="default"
          mt="xs"
          loading={users.isFetchingNextPage}
          onClick={() => void users.fetchNextPage()}
        >
          Show more
        </Button>
      )}
    </section>
  );
}

function Links({ urns, empty }: { urns: readonly string[]; empty: string }) {
  if (urns.length === 0) {
    return (
      <Text size="sm" c="dimmed">
        {empty}
      </Text>
    );
  }
  return (
    <ul className={classes.links}>
      {urns.map((urn) => (
        <li key={urn}>
          <TextLink to="/models/entity" search={{ id: urn }} className="breakable">
            {urnName(urn)}
          </TextLink>
        </li>
      ))}
    </ul>
  );
}
