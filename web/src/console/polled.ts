/** What the relay says, asked for again and again while somebody looks. */
import { useCallback, useEffect, useRef, useState } from "preact/hooks";

import type { ApiError } from "./api";

export interface Polled<T> {
  value: T | undefined;
  /** Why nothing is known, or nothing new. */
  failed: string | undefined;
  refresh: () => void;
}

/** Whoever listens is told that the session is over. */
export const SIGNED_OUT = "console-signed-out";

/** Tells that the session is over, if that is why something failed. Returns the words for it. */
export function told(error: Error): string {
  if ((error as ApiError).status === 401) dispatchEvent(new Event(SIGNED_OUT));
  return error.message;
}

/** `load` is asked at once, when it changes, and every `ms` milliseconds; never twice at a time, and not behind other tabs. */
export function usePolled<T>(load: () => Promise<T>, ms: number): Polled<T> {
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
    const timer = setInterval(seen, ms);
    document.addEventListener("visibilitychange", seen);
    return () => {
      clearInterval(timer);
      document.removeEventListener("visibilitychange", seen);
    };
  }, [load, ms, look]);
  return { value, failed, refresh: look };
}
