// The buttons of the bar: undo, redo, tidy, fit, format; a dot while a change is on its way.
import { ActionIcon, Group, Tooltip } from "@mantine/core";
import { Maximize, Redo2, Undo2, WandSparkles, WrapText } from "lucide-react";
import type { ComponentType } from "react";
import type { Journal } from "./journal.ts";
import classes from "./workbench.module.css";

export interface ToolsProps {
  journal: Journal;
  busy: boolean;
  readOnly: boolean;
  onUndo: () => void;
  onRedo: () => void;
  onTidy: () => void;
  onFit: () => void;
  onFormat: () => void;
}

export function Tools(props: ToolsProps) {
  const { undoLabel, redoLabel } = props.journal;
  return (
    <Group gap={2} wrap="nowrap" role="toolbar" aria-label="Edit">
      <span className={classes.busy} data-busy={props.busy || undefined} role="status">
        {props.busy && <span className={classes.hidden}>Changing the document</span>}
      </span>
      <Tool
        icon={Undo2}
        label="Undo"
        hint={undoLabel ? `Undo: ${undoLabel}` : "Nothing to undo"}
        off={undoLabel === null}
        onClick={props.onUndo}
      />
      <Tool
        icon={Redo2}
        label="Redo"
        hint={redoLabel ? `Redo: ${redoLabel}` : "Nothing to redo"}
        off={redoLabel === null}
        onClick={props.onRedo}
      />
      <Tool
        icon={WandSparkles}
        label="Tidy up"
        hint="Arrange the steps (L)"
        off={props.readOnly}
        onClick={props.onTidy}
      />
      <Tool icon={Maximize} label="Zoom to fit" hint="Show the whole flow (F)" onClick={props.onFit} />
      <Tool icon={WrapText} label="Format the text" hint="Format the text" onClick={props.onFormat} />
    </Group>
  );
}

function Tool(props: {
  icon: ComponentType<{ size?: number | string; "aria-hidden"?: boolean }>;
  label: string;
  hint: string;
  off?: boolean;
  onClick: () => void;
}) {
  const Icon = props.icon;
  return (
    <Tooltip label={props.hint}>
      <ActionIcon
        variant="subtle"
        color="gray"
        size="lg"
        aria-label={props.label}
        disabled={props.off ?? false}
        onClick={props.onClick}
      >
        <Icon size={17} aria-hidden />
      </ActionIcon>
    </Tooltip>
  );
}
