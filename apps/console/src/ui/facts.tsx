// Names and values: what is known about one thing.
import type { ReactNode } from "react";
import classes from "./facts.module.css";

export function Facts({ items }: { items: [label: string, value: ReactNode, width?: "wide"][] }) {
  return (
    <dl className={classes.facts}>
      {items.map(([label, value, width]) => (
        <div key={label} className={classes.fact} data-width={width}>
          <dt>{label}</dt>
          <dd className="breakable">{value === undefined || value === "" ? "–" : value}</dd>
        </div>
      ))}
    </dl>
  );
}
