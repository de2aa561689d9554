// A moment: how long ago, with the exact time on hover and for assistive technology.
import { useEffect, useState } from "react";
import { absolute, relative } from "./format.ts";

const TICK_MILLIS = 15_000;
let listeners: (() => void)[] = [];
let timer: number | undefined;

/** One clock for all moments on the page. */
function useClock(): number {
  const [now, setNow] = useState(() => Date.now() / 1000);
  useEffect(() => {
    const tick = () => setNow(Date.now() / 1000);
    listeners.push(tick);
    timer ??= window.setInterval(() => {
      for (const listener of listeners) listener();
    }, TICK_MILLIS);
    return () => {
      listeners = listeners.filter((listener) => listener !== tick);
      if (listeners.length === 0) {
        window.clearInterval(timer);
        timer = undefined;
      }
    };
  }, []);
  return now;
}

/** `at` in epoch seconds; nothing known is a dash. */
export function When({ at }: { at: number | undefined }) {
  const now = useClock();
  if (at === undefined || at === 0) return <span>–</span>;
  return (
    <time dateTime={new Date(at * 1000).toISOString()} title={absolute(at)}>
      {relative(at, now)}
    </time>
  );
}
