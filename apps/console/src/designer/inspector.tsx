// The side panel: everything about what is chosen on the canvas, to be read and changed.
import { ActionIcon, Badge, Button, CloseButton, Group, Select, Stack, Text, Tooltip } from "@mantine/core";
import { Copy, Trash2 } from "lucide-react";
import type { ReactNode } from "react";
import { urnName } from "../models/urn.ts";
import type { Selection } from "./canvas.tsx";
import { useDesigner } from "./context.ts";
import { type FlowNode, isStep, isTrigger, nodeId, type Scalar } from "./drawing.ts";
import { ExpressionField } from "./expression-field.tsx";
import classes from "./inspector.module.css";
import { ChoiceRules } from "./inspector-choice.tsx";
import { EdgeInspector } from "./inspector-edge.tsx";
import { ErrorHandling } from "./inspector-errors.tsx";
import { FlowInspector } from "./inspector-flow.tsx";
import { Checks } from "./inspector-success.tsx";
import { TriggerInspector } from "./inspector-trigger.tsx";
import { KINDS } from "./kinds.tsx";
import { NextSteps } from "./next-steps.tsx";
import { TextField } from "./text-field.tsx";

/** Options are put into the page when they are asked for: there may be hundreds. */
export const WHEN_OPEN = { keepMounted: false };

export interface InspectorProps {
  selection: Selection;
  onClose: () => void;
  onCopy: () => void;
  onRemove: () => void;
}

export function Inspector({ selection, onClose, onCopy, onRemove }: InspectorProps) {
  const { flow } = useDesigner();
  const edge = flow.edges.find((one) => one.id === selection.edge);
  const node = chosenNode(flow.nodes, selection);
  if (edge) {
    return (
      <Frame title="Connection" onClose={onClose}>
        <EdgeInspector edge={edge} />
      </Frame>
    );
  }
  if (node && isTrigger(node))
    return <TriggerInspector key={node.name} node={node} onClose={onClose} onRemove={onRemove} />;
  if (node)
    return (
      <NodeInspector key={flow.nodes.indexOf(node)} node={node} onClose={onClose} onCopy={onCopy} onRemove={onRemove} />
    );
  if (selection.nodes.size > 1) {
    return (
      <Frame title={`${selection.nodes.size} steps`} onClose={onClose}>
        <Text size="sm" c="dimmed">
          Arrow keys move them together. Copies keep the connections among them.
        </Text>
        <Group gap="xs">
          <Button size="xs" variant="default" leftSection={<Copy size={14} aria-hidden />} onClick={onCopy}>
            Copy
          </Button>
          <RemoveButton onRemove={onRemove} />
        </Group>
      </Frame>
    );
  }
  return (
    <Frame title="Flow">
      <FlowInspector />
    </Frame>
  );
}

/** The one node that is chosen. */
export function chosenNode(nodes: readonly FlowNode[], { nodes: chosen }: Selection): FlowNode | undefined {
  return chosen.size === 1 ? nodes.find((one) => chosen.has(nodeId(one))) : undefined;
}

export function RemoveButton({ onRemove }: { onRemove: () => void }) {
  return (
    <Button size="xs" variant="default" leftSection={<Trash2 size={14} aria-hidden />} onClick={onRemove}>
      Remove
    </Button>
  );
}

/** What is wrong with a node. */
export function Problems({ node }: { node: FlowNode }) {
  const { state } = useDesigner();
  const problems = node.problems.flatMap((index) => state.drawing?.diagnostics[index] ?? []);
  if (problems.length === 0) return null;
  return (
    <ul className={classes.problems} aria-label="Problems of this step">
      {problems.map((found) => (
        <li key={`${found.code} ${found.from}`} data-severity={found.severity}>
          {found.message}
          {found.help && <span className={classes.help}>{found.help}</span>}
        </li>
      ))}
    </ul>
  );
}

export function Frame(props: { title: ReactNode; aside?: ReactNode; onClose?: () => void; children: ReactNode }) {
  return (
    <aside className={classes.panel} aria-label="Inspector">
      <div className={classes.head}>
        <div className={classes.title}>{props.title}</div>
        {props.aside}
        {props.onClose && <CloseButton size="sm" aria-label="Close the inspector" onClick={props.onClose} />}
      </div>
      <div className={classes.body}>
        <Stack gap="md">{props.children}</Stack>
      </div>
    </aside>
  );
}

function NodeInspector({ node, onClose, onCopy, onRemove }: { node: FlowNode } & Omit<InspectorProps, "selection">) {
  const { flow, key, edit, select, readOnly } = useDesigner();
  const Icon = KINDS[node.kind].icon;
  const locked = readOnly || node.readOnly;
  const taken = (name: string) =>
    flow.nodes.some((one) => one !== node && isStep(one) && one.name.toLowerCase() === name.trim().toLowerCase());
  const field =
    (name: "description" | "condition" | "timeout" | "outEvent" | "deviceId" | "out", label: string) =>
    (value: string) =>
      void edit(
        [{ op: "set-field", flow: key, node: node.name, field: name, value: value.trim() === "" ? null : value }],
        `Change the ${label} of “${node.name}”`,
      );
  const rename = async (to: string) => {
    const done = await edit(
      [{ op: "rename-node", flow: key, node: node.name, to: to.trim() }],
      `Rename “${node.name}”`,
    );
    if (done) select([to.trim()]);
  };
  return (
    <Frame
      title={
        <Group gap={8} wrap="nowrap">
          <Icon size={16} aria-hidden />
          <span>{KINDS[node.kind].word}</span>
        </Group>
      }
      aside={
        !locked && (
          <Group gap={2} wrap="nowrap">
            <Tooltip label="Copy">
              <ActionIcon variant="subtle" color="gray" aria-label="Copy this step" onClick={onCopy}>
                <Copy size={15} aria-hidden />
              </ActionIcon>
            </Tooltip>
            <Tooltip label="Remove">
              <ActionIcon variant="subtle" color="gray" aria-label="Remove this step" onClick={onRemove}>
                <Trash2 size={15} aria-hidden />
              </ActionIcon>
            </Tooltip>
          </Group>
        )
      }
      onClose={onClose}
    >
      <Problems node={node} />
      <TextField
        label="Name"
        value={node.name}
        readOnly={locked}
        onCommit={(value) => void rename(value)}
        check={(value) =>
          value.trim() === "" ? "A step needs a name." : taken(value) ? "Another step has this name." : null
        }
      />
      {(node.kind === "device" || node.kind === "service") && <Activity node={node} field={field} />}
      {node.kind === "choice" && <ChoiceRules node={node} />}
      <Section title="When it runs">
        <Text size="xs" c="dimmed">
          {waiting(node)}
        </Text>
        <ExpressionField
          label="Only if"
          description="Skipped when this is false"
          placeholder="always"
          step={node.name}
          place="condition"
          value={node.condition ?? ""}
          onCommit={field("condition", "condition")}
        />
        {node.kind !== "choice" && (
          <TextField
            label="Give up after"
            description="Time for one attempt"
            placeholder={node.kind === "device" ? "60 seconds" : "120 seconds"}
            value={node.timeout ?? ""}
            readOnly={locked}
            onCommit={field("timeout", "timeout")}
          />
        )}
      </Section>
      <Section title="What comes next">
        <NextSteps node={node} />
      </Section>
      <Section title="When it fails">
        <ErrorHandling node={node} />
      </Section>
      {node.kind !== "choice" && (
        <Section title="What is checked when it is done">
          <Checks node={node} />
        </Section>
      )}
      <TextField
        label="Description"
        placeholder="What is this step for?"
        value={node.description ?? ""}
        readOnly={locked}
        onCommit={field("description", "description")}
      />
    </Frame>
  );
}

function waiting(node: FlowNode): string {
  if (node.start) return "Runs when the flow starts.";
  const events = node.inEvent?.events ?? [];
  if (node.inEvent?.kind === "expression") return `Runs when ${node.inEvent.expression ?? "its events"} have happened.`;
  if (events.length === 0) return "Waits for a step that is not connected yet.";
  return events.length === 1
    ? `Runs each time “${events[0]}” happens.`
    : `Waits until all of these have happened: ${events.join(", ")}.`;
}

type Field = (name: "deviceId" | "out", label: string) => (value: string) => void;

function Activity({ node, field }: { node: FlowNode; field: Field }) {
  const { flow, key, edit, readOnly } = useDesigner();
  const change = (name: string, value: Scalar) =>
    void edit([{ op: "set-argument", flow: key, node: node.name, name, value }], `Set “${name}” of “${node.name}”`);
  const variable = flow.variables.find((one) => one.name.toLowerCase() === node.out?.toLowerCase());
  return (
    <>
      <Group gap={6}>
        <Badge color="gray" tt="none" maw="100%">
          {node.title}
        </Badge>
        {node.device && (
          <Badge color="indigo" tt="none" maw="100%">
            only {urnName(node.device)}
          </Badge>
        )}
      </Group>
      <Select
        label="Action"
        size="xs"
        data={[...new Set([...(node.actions ?? []), ...(node.action ? [node.action] : [])])]}
        value={node.action ?? null}
        readOnly={readOnly}
        searchable
        comboboxProps={WHEN_OPEN}
        allowDeselect={false}
        placeholder="Choose what it does"
        onChange={(action) =>
          action &&
          void edit([{ op: "set-action", flow: key, node: node.name, action }], `Let “${node.name}” call ${action}`)
        }
      />
      {node.kind === "device" && (
        <ExpressionField
          label="Which device"
          description="A parameter of the flow that holds the thing's name"
          step={node.name}
          place="argument"
          required
          value={String(node.deviceId?.value ?? "")}
          onCommit={field("deviceId", "device")}
        />
      )}
      {(node.arguments ?? []).map((argument) => (
        <ExpressionField
          key={argument.name}
          label={argument.type ? `${argument.name}: ${argument.type}` : argument.name}
          placeholder={argument.required ? "needed" : "nothing"}
          required={argument.required ?? false}
          step={node.name}
          place="argument"
          value={argument.value === null ? "" : String(argument.value)}
          onCommit={(value) => change(argument.name, value === "" ? null : value)}
        />
      ))}
      {node.returns && (
        <TextField
          label="Keep the result as"
          description={
            variable
              ? `A variable of type ${variable.type ?? urnName(variable.urn ?? "")}`
              : `The result is ${node.returns}`
          }
          placeholder="not kept"
          value={node.out ?? ""}
          readOnly={readOnly}
          onCommit={field("out", "result")}
          check={(value) => (value === "" || /^[A-Za-z_]\w*$/.test(value) ? null : "Letters, digits and underscores.")}
        />
      )}
    </>
  );
}

export function Section({ title, children }: { title: string; children: ReactNode }) {
  return (
    <section className={classes.section}>
      <h3 className={classes.sectionTitle}>{title}</h3>
      <Stack gap="sm">{children}</Stack>
    </section>
  );
}
