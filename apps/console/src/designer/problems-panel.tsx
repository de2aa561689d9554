// The list of problems: what is wrong, where; a click goes there.
import { Badge, Button, Text } from "@mantine/core";
import { CircleCheck } from "lucide-react";
import type { Diagnostic } from "../tdm-editor/service.ts";
import classes from "./problems-panel.module.css";

export interface ProblemsPanelProps {
  diagnostics: readonly Diagnostic[];
  /** Name of the step a problem belongs to, if any. */
  where: (index: number) => string | null;
  onGo: (index: number) => void;
  onFix?: (found: Diagnostic) => void;
}

export function ProblemsPanel({ diagnostics, where, onGo, onFix }: ProblemsPanelProps) {
  if (diagnostics.length === 0) {
    return (
      <div className={classes.none}>
        <CircleCheck size={17} aria-hidden />
        <Text size="sm">No problems. The flow can be simulated, saved and deployed.</Text>
      </div>
    );
  }
  const order = diagnostics
    .map((found, index) => ({ found, index }))
    .sort((one, other) => rank(one.found) - rank(other.found));
  return (
    <ul className={classes.list} aria-label="Problems">
      {order.map(({ found, index }) => (
        <li key={`${found.code} ${found.from} ${found.message}`} className={classes.row}>
          <button type="button" className={classes.go} onClick={() => onGo(index)}>
            <Badge size="xs" color={found.severity === "error" ? "red" : "yellow"} w={64}>
              {found.severity}
            </Badge>
            <span className={classes.message}>
              {where(index) && <strong>{where(index)}: </strong>}
              {found.message}
              {found.help && <span className={classes.help}> {found.help}</span>}
            </span>
            <span className={classes.code}>
              {found.code} · {found.line}:{found.column}
            </span>
          </button>
          {found.fix && onFix && (
            <Button size="compact-xs" variant="default" onClick={() => onFix(found)}>
              Fix it
            </Button>
          )}
        </li>
      ))}
    </ul>
  );
}

const rank = (found: Diagnostic) => (found.severity === "error" ? 0 : 1);
