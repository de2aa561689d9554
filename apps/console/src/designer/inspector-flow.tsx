// Nothing is chosen: the flow itself, its parameters and variables.
import { ActionIcon, Button, Code, Group, Select, Text, TextInput, Tooltip } from "@mantine/core";
import { Trash2 } from "lucide-react";
import { useState } from "react";
import { urnName } from "../models/urn.ts";
import { useDesigner } from "./context.ts";
import { DocumentTitle } from "./document-title";
import classes from "./inspector.module.css";

const TYPES = ["string", "Boolean", "Int32", "Int64", "Float32", "Float64", "DateTime", "Json"];
const NAME = /^[A-Za-z_]\w*$/;

export function FlowInspector() {
  const { flow, key, edit, readOnly } = useDesigner();
  const taken = new Set([...flow.parameters, ...flow.variables].map((one) => one.name.toLowerCase()));
  return (
    <>
      <DocumentTitle name={flow.name} urn={flow.urn} description={flow.description} />
      <section className={classes.section}>
        <h3 className={classes.sectionTitle}>Parameters</h3>
        <Text size="xs" c="dimmed" mb={8}>
          What whoever starts the flow hands over. Devices come in as names of things.
        </Text>
        <Names
          rows={flow.parameters.map((one) => ({ name: one.name, type: `${one.type}${one.required ? "!" : ""}` }))}
        />
        {!readOnly && (
          <Adder
            taken={taken}
            label="parameter"
            types={TYPES}
            onAdd={(name, type) =>
              edit([{ op: "add-parameter", flow: key, name, type }], `Add the parameter “${name}”`)
            }
          />
        )}
      </section>
      <section className={classes.section}>
        <h3 className={classes.sectionTitle}>Variables</h3>
        <Text size="xs" c="dimmed" mb={8}>
          What steps keep for each other. Naming a result at a step makes one, too.
        </Text>
        <Names
          rows={flow.variables.map((one) => ({ name: one.name, type: one.type ?? (one.urn ? urnName(one.urn) : "") }))}
          {...(readOnly
            ? {}
            : {
                onRemove: (name: string) =>
                  void edit([{ op: "remove-variable", flow: key, name }], `Remove the variable “${name}”`),
              })}
        />
        {!readOnly && (
          <Adder
            taken={taken}
            label="variable"
            types={["String", "Boolean", "Int32", "Int64", "Float32", "Float64", "DateTime", "Json"]}
            onAdd={(name, type) =>
              edit(
                [{ op: "add-variable", flow: key, name, urn: `urn:tdm:aws:Property:${type}` }],
                `Add the variable “${name}”`,
              )
            }
          />
        )}
      </section>
      {!readOnly && (
        <section className={classes.section}>
          <h3 className={classes.sectionTitle}>Keys</h3>
          <Text size="xs" c="dimmed" component="div">
            <Code>Ctrl+Z</Code> undo · <Code>Ctrl+Shift+Z</Code> redo · <Code>Ctrl+C</Code> <Code>Ctrl+V</Code> copy,
            paste · <Code>Ctrl+S</Code> save · <Code>/</Code> find a step to add · <Code>F</Code> whole flow ·{" "}
            <Code>L</Code> tidy up
          </Text>
        </section>
      )}
    </>
  );
}

function Names({
  rows,
  onRemove,
}: {
  rows: readonly { name: string; type: string }[];
  onRemove?: (name: string) => void;
}) {
  if (rows.length === 0) {
    return (
      <Text size="xs" c="dimmed">
        None.
      </Text>
    );
  }
  return (
    <ul className={classes.names}>
      {rows.map((row) => (
        <li key={row.name}>
          <Code fz={12}>{row.name}</Code>
          <Text span size="xs" c="dimmed" className="breakable">
            {row.type}
          </Text>
          {onRemove && (
            <Tooltip label="Remove">
              <ActionIcon
                size="sm"
                variant="subtle"
                color="gray"
                ml="auto"
                aria-label={`Remove ${row.name}`}
                onClick={() => onRemove(row.name)}
              >
                <Trash2 size={13} aria-hidden />
              </ActionIcon>
            </Tooltip>
          )}
        </li>
      ))}
    </ul>
  );
}

function Adder(props: {
  taken: ReadonlySet<string>;
  label: string;
  types: string[];
  onAdd: (name: string, type: string) => Promise<boolean>;
}) {
  const [name, setName] = useState("");
  const [type, setType] = useState<string>(props.types[0] ?? "string");
  const wrong =
    name !== "" &&
    (!NAME.test(name)
      ? "Letters, digits, underscores."
      : props.taken.has(name.toLowerCase())
        ? "This name is taken."
        : null);
  const add = async () => {
    if (name !== "" && !wrong && (await props.onAdd(name, type))) setName("");
  };
  return (
    <Group gap={6} mt={8} wrap="nowrap" align="start">
      <TextInput
        size="xs"
        flex={1}
        aria-label={`Name of a new ${props.label}`}
        placeholder={`new ${props.label}`}
        value={name}
        error={wrong || undefined}
        onChange={(event) => setName(event.currentTarget.value)}
        onKeyDown={(event) => {
          event.stopPropagation();
          if (event.key === "Enter") void add();
        }}
      />
      <Select
        size="xs"
        w={92}
        aria-label={`Type of the new ${props.label}`}
        data={props.types}
        value={type}
        allowDeselect={false}
        onChange={(chosen) => setType(chosen ?? type)}
      />
      <Button size="xs" px={10} variant="default" disabled={name === "" || !!wrong} onClick={() => void add()}>
        Add
      </Button>
    </Group>
  );
}
