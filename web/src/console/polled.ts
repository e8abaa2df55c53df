/** What the relay says, asked for again and again while somebody looks. */
import { useCallback, useEffect, useRef, useState } from "preact/hooks";

import type { ApiError, List } from "./api";

export interface Polled<T> {
  value: T | undefined;
  /** Why nothing is known, or nothing new. */
  failed: string | undefined;
  refresh: () => void;
  /** Takes over what came in another way. */
  put: (value: T) => void;
}

/** Whoever listens is told that the session is over. */
export const SIGNED_OUT = "console-signed-out";

/** Whoever listens is told which lists have changed. */
export const CHANGED = "console-changed";

/** How much more seldom it is asked while the relay tells what changes: counters change all the time. */
const CALM = 4;
let isLive = false;

/** Whether the relay tells what changes. */
export function setLive(live: boolean): void {
  isLive = live;
}

/** Tells that the session is over, if that is why something failed. Returns the words for it. */
export function told(error: Error): string {
  if ((error as ApiError).status === 401) dispatchEvent(new Event(SIGNED_OUT));
  return error.message;
}

/** `load` is asked at once, when it or the relay's `list` changes, and every `ms` milliseconds; never twice at a time, and not behind other tabs. */
export function usePolled<T>(load: () => Promise<T>, ms: number, list?: List): Polled<T> {
  const [value, setValue] = useState<T | undefined>();
  const [failed, setFailed] = useState<string | undefined>();
  const asked = useRef<() => Promise<T>>(load);
  const busy = useRef(false);
  const again = useRef(false);
  asked.current = load;
  const look = useCallback((): void => {
    // The answer that is awaited may be from before what somebody has just done.
    again.current = busy.current;
    if (busy.current) return;
    busy.current = true;
    const of = asked.current;
    of()
      .then(
        (loaded) => {
          if (asked.current !== of) return;
          setValue(loaded);
          setFailed(undefined);
        },
        (error: Error) => setFailed(told(error)),
      )
      .finally(() => {
        busy.current = false;
        if (again.current || asked.current !== of) look();
      });
  }, []);
  useEffect(() => {
    look();
    const seen = (): void => {
      if (!document.hidden) look();
    };
    const heard = (event: Event): void => {
      if (list !== undefined && (event as CustomEvent<string[]>).detail.includes(list)) seen();
    };
    let turn = 0;
    const timer = setInterval(() => {
      turn += 1;
      if (!isLive || turn % CALM === 0) seen();
    }, ms);
    addEventListener(CHANGED, heard);
    document.addEventListener("visibilitychange", seen);
    return () => {
      clearInterval(timer);
      removeEventListener(CHANGED, heard);
      document.removeEventListener("visibilitychange", seen);
    };
  }, [load, ms, list, look]);
  const put = useCallback((told: T): void => {
    setValue(told);
    setFailed(undefined);
  }, []);
  return { value, failed, refresh: look, put };
}
