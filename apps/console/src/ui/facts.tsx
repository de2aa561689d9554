// Names and values: what is known about one thing.
import type { ReactNode } from "react";
import classes from "./facts.module.css";

export function Facts({ items }: { items: [label: string, value: ReactNode][] }) {
  return (
    <dl className={classes.facts}>
      {items.map(([label, value]) => (
        <div key={label} className={classes.fact}>
          <dt>{label}</dt>
          <dd className="breakable">{value === undefined || value === "" ? "–" : value}</dd>
        </div>
      ))}
    </dl>
  );
}
