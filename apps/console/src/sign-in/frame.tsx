// The quiet page around every form of signing in.
import { Text, Title } from "@mantine/core";
import { type ReactNode, useEffect } from "react";
import { Mark } from "../shell/brand.tsx";
import classes from "./frame.module.css";

export function SignInFrame(props: { title: string; description?: ReactNode; children: ReactNode; wide?: boolean }) {
  useEffect(() => {
    document.title = `${props.title} · Marram`;
  }, [props.title]);
  return (
    <main className={classes.ground}>
      <div className={classes.card} data-wide={props.wide || undefined}>
        <div className={classes.brand}>
          <Mark size={34} />
          <span>Marram</span>
        </div>
        <Title order={1}>{props.title}</Title>
        {props.description && (
          <Text c="dimmed" size="sm" mt={4} component="div">
            {props.description}
          </Text>
        )}
        <div className={classes.body}>{props.children}</div>
      </div>
    </main>
  );
}
