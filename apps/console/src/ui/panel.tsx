// A titled surface: what a page is divided into.
import { Title } from "@mantine/core";
import type { ReactNode } from "react";
import classes from "./panel.module.css";

export function Panel(props: {
  title?: ReactNode;
  aside?: ReactNode;
  children: ReactNode;
  /** Tables and logs reach the edge. */
  flush?: boolean;
}) {
  return (
    <section className={classes.panel}>
      {(props.title || props.aside) && (
        <div className={classes.head}>
          {props.title && (
            <Title order={2} className={classes.title}>
              {props.title}
            </Title>
          )}
          {props.aside && <div className={classes.aside}>{props.aside}</div>}
        </div>
      )}
      <div className={props.flush ? classes.flush : classes.body}>{props.children}</div>
    </section>
  );
}

/** Panels side by side where there is room; `min` is the least width of one in rem. */
export function Columns({ children, min = 20 }: { children: ReactNode; min?: 12 | 16 | 20 | 26 }) {
  return (
    <div className={classes.columns} data-min={min}>
      {children}
    </div>
  );
}
