// The side panel of systems and deployments: the role, binding or trigger that is chosen, else the whole.
import { Badge, Code, Group, Loader, Select, Text } from "@mantine/core";
import { useMemo } from "react";
import type { Entity } from "../models/entity.ts";
import { urnKey, urnName } from "../models/urn.ts";
import { TextLink } from "../ui/link.tsx";
import { useDesigner } from "./context.ts";
import { devicesFor, useCandidates } from "./deploy/data.ts";
import { DocumentTitle } from "./document-title";
import { type FlowNode, isTrigger, triggerId } from "./drawing.ts";
import classes from "./inspector.module.css";
import { chosenNode, Frame, type InspectorProps, Problems, RemoveButton, Section } from "./inspector.tsx";
import { EDGE_WORDS, KINDS } from "./kinds.tsx";
import type { PaletteEntry } from "./palette.ts";
import { TextField } from "./text-field.tsx";
import { TriggerFields } from "./trigger-fields.tsx";

const ROLE_NAME = /^[A-Za-z_]\w*$/;

export interface BoardInspectorProps extends InspectorProps {
  /** Devices, models and the like that roles may ask for. */
  library: readonly Entity[];
  /** What a role may be changed to. */
  entries: readonly PaletteEntry[];
}

export function BoardInspector(props: BoardInspectorProps) {
  const { selection, onClose } = props;
  const { flow, desk } = useDesigner();
  const edge = flow.edges.find((one) => one.id === selection.edge);
  const node = chosenNode(flow.nodes, selection);
  if (edge)
    return (
      <Frame title="Connection" onClose={onClose}>
        <Text size="sm">
          <b>{edge.source}</b> → <b>{edge.target}</b>, {EDGE_WORDS[edge.kind]}
          {edge.event ? ` by “${edge.event}”` : ""}.
        </Text>
        <Text size="xs" c="dimmed">
          {edge.kind === "uses"
            ? "A flow uses the devices whose models its steps call. This follows from the flow's own drawing."
            : "This follows from the trigger: its condition says which device it listens to, its actions say what it starts."}
        </Text>
      </Frame>
    );
  if (node === undefined)
    return selection.nodes.size > 1 ? (
      <Frame title={`${selection.nodes.size} parts`} onClose={onClose}>
        <Text size="sm" c="dimmed">
          Arrow keys move them together.
        </Text>
        <Group>
          <RemoveButton onRemove={props.onRemove} />
        </Group>
      </Frame>
    ) : (
      <Frame title={desk.kind === "system" ? "System" : "Deployment"}>
        <Whole />
      </Frame>
    );
  const Icon = KINDS[node.kind].icon;
  const word = isTrigger(node) ? (node.kind === "clock" ? "Clock" : "Device event") : KINDS[node.kind].word;
  return (
    <Frame
      key={node.name}
      title={
        <Group gap={8} wrap="nowrap">
          <Icon size={16} aria-hidden />
          <span>{word}</span>
        </Group>
      }
      onClose={onClose}
    >
      <Problems node={node} />
      {isTrigger(node) ? (
        <Trigger node={node} />
      ) : desk.kind === "system" ? (
        <Role node={node} entries={props.entries} />
      ) : (
        <Part node={node} library={props.library} />
      )}
      {(isTrigger(node) || desk.kind === "system" || node.fixed !== true) && !node.readOnly && (
        <Group>
          <RemoveButton onRemove={props.onRemove} />
        </Group>
      )}
    </Frame>
  );
}

function Whole() {
  const { flow, desk, state } = useDesigner();
  const deployment = state.drawing?.deployments?.find((one) => one.urn === flow.urn);
  const count = (kind: FlowNode["kind"]) => flow.nodes.filter((node) => node.kind === kind).length;
  const parts = (["device", "flow", "service", "system", "clock", "event"] as const).flatMap((kind) => {
    const number = count(kind);
    return number === 0 ? [] : [`${number} ${KINDS[kind].word.toLowerCase()}${number === 1 ? "" : "s"}`];
  });
  return (
    <>
      <DocumentTitle name={flow.name} urn={flow.urn} description={flow.description} />
      <Text size="sm">{parts.join(", ")}</Text>
      {desk.kind === "deployment" && deployment?.system && (
        <Text size="sm">
          Of the system{" "}
          <TextLink to="/systems/design" search={{ system: deployment.system }}>
            {urnName(deployment.system)}
          </TextLink>
        </Text>
      )}
      <Section title="Keys">
        <Text size="xs" c="dimmed" component="div">
          <Code>Ctrl+Z</Code> undo · <Code>Ctrl+Shift+Z</Code> redo · <Code>Ctrl+S</Code> save · <Code>/</Code> find
          something to add · <Code>F</Code> everything · <Code>L</Code> tidy up
        </Text>
      </Section>
    </>
  );
}

function Role({ node, entries }: { node: FlowNode; entries: readonly PaletteEntry[] }) {
  const { flow, key, edit, select, readOnly } = useDesigner();
  const options = useMemo(() => {
    const fitting = entries.filter((entry) => entry.kind === node.kind && entry.urn !== null);
    const all = new Map(
      fitting.map((entry) => [
        urnKey(entry.urn ?? ""),
        { value: entry.urn ?? "", label: `${entry.title} · ${entry.group.toLowerCase()}, ${entry.from}` },
      ]),
    );
    if (node.urn && !all.has(urnKey(node.urn)))
      all.set(urnKey(node.urn), { value: node.urn, label: urnName(node.urn) });
    return [...all.values()];
  }, [entries, node.kind, node.urn]);
  const value = options.find((one) => node.urn && urnKey(one.value) === urnKey(node.urn))?.value ?? null;
  const users = flow.edges.filter((edge) => edge.kind === "uses" && edge.target === node.name);
  return (
    <>
      <TextField
        label="Role"
        description={node.kind === "flow" ? "How triggers name the flow" : "How flows and deployments name it"}
        value={node.name}
        readOnly={readOnly}
        check={(name) =>
          !ROLE_NAME.test(name)
            ? "Letters, digits and underscores."
            : flow.nodes.some((one) => one !== node && one.name.toLowerCase() === name.toLowerCase())
              ? "Another role has this name."
              : null
        }
        onCommit={async (to) => {
          const done = await edit([{ op: "rename-node", system: key, node: node.name, to }], `Rename “${node.name}”`);
          if (done) select([to]);
        }}
      />
      {node.kind !== "value" && node.kind !== "unknown" && (
        <Select
          label="What it must be"
          size="xs"
          searchable
          limit={80}
          allowDeselect={false}
          data={options}
          value={value}
          readOnly={readOnly}
          onChange={(urn) =>
            urn &&
            void edit(
              [{ op: "set-role", system: key, node: node.name, urn }],
              `Let “${node.name}” be a ${urnName(urn)}`,
            )
          }
        />
      )}
      <Offers node={node} />
      {users.length > 0 && (
        <Text size="xs" c="dimmed">
          Used by {users.map((edge) => edge.source).join(", ")}.
        </Text>
      )}
      <OpenLink node={node} />
    </>
  );
}

/** What a device or service can do and tell. */
function Offers({ node }: { node: FlowNode }) {
  const rows = [
    ["does", node.actions ?? []],
    ["tells", node.events ?? []],
  ] as const;
  return rows.map(([word, names]) =>
    names.length === 0 ? null : (
      <Group key={word} gap={6} align="start">
        <Text size="xs" c="dimmed" w={36}>
          {word}
        </Text>
        <Group gap={4} flex={1}>
          {names.map((name) => (
            <Badge key={name} color="gray" tt="none" size="sm">
              {name}
            </Badge>
          ))}
        </Group>
      </Group>
    ),
  );
}

function OpenLink({ node }: { node: FlowNode }) {
  if (!node.urn) return null;
  const [to, search] =
    node.kind === "flow"
      ? ["/flows/design", { flow: node.urn }]
      : node.kind === "system"
        ? ["/systems/design", { system: node.urn }]
        : ["/models/entity", { id: node.urn }];
  return (
    <Text size="sm">
      <TextLink to={to} search={search as Record<string, string>}>
        Open {urnName(node.urn)}
      </TextLink>
    </Text>
  );
}

function Part({ node, library }: { node: FlowNode; library: readonly Entity[] }) {
  return node.kind === "device" ? <Binding node={node} library={library} /> : <FlowRole node={node} />;
}

function Binding({ node, library }: { node: FlowNode; library: readonly Entity[] }) {
  const { key, edit, readOnly } = useDesigner();
  const devices = useMemo(() => (node.urn ? devicesFor({ urn: node.urn }, library) : []), [node.urn, library]);
  const found = useCandidates(devices);
  const things = new Map(
    found.all.map((one) => [one.thing, { value: one.thing, label: `${one.thing} · ${urnName(one.device.id)}` }]),
  );
  if (node.thing && !things.has(node.thing)) things.set(node.thing, { value: node.thing, label: node.thing });
  return (
    <>
      <div>
        <Text fw={600}>{node.name}</Text>
        <Text size="xs" c="dimmed" className="breakable">
          {node.urn}
        </Text>
      </div>
      <Select
        label="Thing"
        description="Things that are known to be such a device"
        size="xs"
        searchable
        placeholder={found.pending ? "Reading…" : "Choose a thing"}
        rightSection={found.pending ? <Loader size="xs" /> : undefined}
        data={[...things.values()]}
        value={node.thing ?? null}
        readOnly={readOnly}
        allowDeselect={false}
        onChange={(thing) =>
          thing &&
          void edit([{ op: "bind", deployment: key, role: node.name, thing }], `Bind “${node.name}” to ${thing}`)
        }
      />
      <Offers node={node} />
      <OpenLink node={node} />
    </>
  );
}

function FlowRole({ node }: { node: FlowNode }) {
  const parameters = node.parameters ?? [];
  return (
    <>
      <Text fw={600}>{node.name}</Text>
      <Text size="xs" c="dimmed">
        Draw from a trigger to this flow to start it.
      </Text>
      <div>
        <Text size="xs" fw={600} c="dimmed">
          Takes
        </Text>
        <ul className={classes.names}>
          {parameters.map((one) => (
            <li key={one.name}>
              <Code fz={12}>{one.name}</Code>
              <Text span size="xs" c="dimmed">
                {one.type}
                {one.required ? ", needed" : ""}
              </Text>
            </li>
          ))}
        </ul>
        {parameters.length === 0 && <Text size="xs">nothing</Text>}
      </div>
      <OpenLink node={node} />
    </>
  );
}

function Trigger({ node }: { node: FlowNode }) {
  const { flow, key, edit, select, readOnly } = useDesigner();
  const tellers = flow.nodes
    .filter((one) => one.kind === "device" && (one.events?.length ?? 0) > 0)
    .map((one) => ({ name: one.name, events: one.events ?? [] }));
  const flows = flow.nodes
    .filter((one) => one.kind === "flow")
    .map((one) => ({ role: one.name, parameters: one.parameters ?? [] }));
  return (
    <TriggerFields
      node={node}
      tellers={tellers}
      flows={flows}
      readOnly={readOnly}
      taken={(name) =>
        flow.nodes.some((one) => one !== node && isTrigger(one) && one.name.toLowerCase() === name.toLowerCase())
      }
      onChange={async (change) => {
        const done = await edit(
          [{ op: "set-trigger", deployment: key, trigger: node.name, ...change }],
          `Change the trigger “${node.name}”`,
        );
        if (done && change.name) select([triggerId(change.name)]);
      }}
    />
  );
}
