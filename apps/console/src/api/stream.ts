// Server-sent events as a hook: opens, tells its state, closes when the page goes away.
import { useEffect, useRef, useState } from "react";

export type StreamState = "closed" | "connecting" | "open" | "broken";

/**
 * Listens to `path` below /console/api while it is not null. `handlers` maps event names to what is done with their
 * parsed data; the newest handlers are used without reopening. The browser reconnects by itself.
 */
export function useEventStream(path: string | null, handlers: Record<string, (data: unknown) => void>): StreamState {
  const [state, setState] = useState<StreamState>("closed");
  const latest = useRef(handlers);
  latest.current = handlers;
  const names = Object.keys(handlers).sort().join(" ");

  useEffect(() => {
    if (path === null) {
      setState("closed");
      return;
    }
    setState("connecting");
    const source = new EventSource(`/console/api/${path}`);
    source.addEventListener("ready", () => setState("open"));
    source.onopen = () => setState("open");
    source.onerror = () => setState(source.readyState === EventSource.CLOSED ? "broken" : "connecting");
    for (const name of names.split(" ")) {
      source.addEventListener(name, (event) => {
        if (!(event instanceof MessageEvent)) return;
        latest.current[name]?.(event.data === "" ? {} : JSON.parse(String(event.data)));
      });
    }
    return () => source.close();
  }, [path, names]);
  return state;
}
