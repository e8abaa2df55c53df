/** What the relay tells while somebody looks: how it stands, and which lists have changed. Where it tells nothing, pages ask by themselves. */
import { useEffect } from "preact/hooks";

import * as api from "./api";
import { CHANGED, SIGNED_OUT, setLive } from "./polled";

/** Before it is asked to tell again, if it has refused that. */
const AGAIN_MS = 10_000;
const LISTS: api.List[] = ["agents", "tunnels", "audit"];

/** Opens the page to what the relay tells. `put` gets how it stands. */
export function useLive(put: (status: api.Status) => void): void {
  useEffect(() => {
    let source: EventSource | undefined;
    let timer: number | undefined;
    const changed = (lists: string[]): boolean => dispatchEvent(new CustomEvent(CHANGED, { detail: lists }));
    const close = (): void => {
      clearTimeout(timer);
      source?.close();
      source = undefined;
      setLive(false);
    };
    const open = (): void => {
      close();
      if (document.hidden) return;
      const opened = new EventSource(api.EVENTS);
      source = opened;
      opened.onopen = () => {
        setLive(true);
        // Nobody was told meanwhile.
        changed(LISTS);
      };
      opened.onerror = () => {
        setLive(false);
        if (opened.readyState === EventSource.CLOSED && source === opened) timer = window.setTimeout(open, AGAIN_MS);
      };
      opened.addEventListener("status", (event) => put(JSON.parse(event.data as string) as api.Status));
      opened.addEventListener("changed", (event) => changed((event.data as string).split(" ")));
      opened.addEventListener("signed_out", () => {
        close();
        dispatchEvent(new Event(SIGNED_OUT));
      });
    };
    open();
    document.addEventListener("visibilitychange", open);
    return () => {
      document.removeEventListener("visibilitychange", open);
      close();
    };
  }, [put]);
}
