// Mark and name, a link home.
import { Link } from "@tanstack/react-router";
import classes from "./brand.module.css";

export function Mark({ size = 26 }: { size?: number }) {
  return <img src={`${import.meta.env.BASE_URL}assets/marram-v1.svg`} width={size} height={size} alt="" />;
}

export function Brand() {
  return (
    <Link to="/" className={classes.brand} aria-label="Marram, home">
      <Mark />
      <span>Marram</span>
    </Link>
  );
}
