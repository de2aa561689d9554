// Text to be read or copied as it stands: commands, JSON, recipes.
import { ActionIcon, CopyButton, Tooltip } from "@mantine/core";
import { Check, Copy } from "lucide-react";
import classes from "./code-block.module.css";

export function CodeBlock(props: { text: string; label: string; tall?: boolean; wrap?: boolean }) {
  return (
    <div className={classes.block}>
      <pre
        className={classes.text}
        data-tall={props.tall || undefined}
        data-wrap={props.wrap || undefined}
        tabIndex={0}
        role="region"
        aria-label={props.label}
      >
        {props.text}
      </pre>
      <div className={classes.copy}>
        <CopyText text={props.text} label={`Copy ${props.label}`} />
      </div>
    </div>
  );
}

export function CopyText({ text, label }: { text: string; label: string }) {
  return (
    <CopyButton value={text}>
      {({ copied, copy }) => (
        <Tooltip label={copied ? "Copied" : "Copy"}>
          <ActionIcon variant="subtle" color={copied ? "green" : "gray"} size="sm" onClick={copy} aria-label={label}>
            {copied ? <Check size={14} aria-hidden /> : <Copy size={14} aria-hidden />}
          </ActionIcon>
        </Tooltip>
      )}
    </CopyButton>
  );
}

/** A long name or ARN in fixed width with a button that copies it. */
export function Copyable({ text, label, shown }: { text: string; label: string; shown?: string }) {
  return (
    <span className={classes.copyable}>
      <span className={classes.mono}>{shown ?? text}</span>
      <CopyText text={text} label={`Copy ${label}`} />
    </span>
  );
}
