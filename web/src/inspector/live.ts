/** The list of requests as it changes, and how the tunnel stands. */
import { useEffect, useReducer } from "preact/hooks";

import type { Status, Summary } from "./api";

export interface Live {
  /** Newest first. */
  requests: Summary[];
  status: Status | undefined;
  /** Whether the program answers. */
  connected: boolean;
}

type Change =
  | { type: "requests"; cleared: boolean; requests: Summary[] }
  | { type: "status"; status: Status }
  | { type: "connection"; connected: boolean };

function change(live: Live, change: Change): Live {
  switch (change.type) {
    case "status":
      return { ...live, status: change.status, connected: true };
    case "connection":
      return live.connected === change.connected ? live : { ...live, connected: change.connected };
    case "requests": {
      const byId = new Map(change.cleared ? [] : live.requests.map((request) => [request.id, request]));
      for (const request of change.requests) byId.set(request.id, request);
      const all = [...byId.values()].sort((a, b) => b.id - a.id);
      return { ...live, connected: true, requests: all.slice(0, live.status?.limits.requests ?? 100) };
    }
  }
}

export function useLive(): Live {
  const [live, dispatch] = useReducer(change, { requests: [], status: undefined, connected: true });
  useEffect(() => {
    const source = new EventSource("/api/events");
    source.addEventListener("requests", (event: MessageEvent<string>) => {
      dispatch({ type: "requests", ...(JSON.parse(event.data) as { cleared: boolean; requests: Summary[] }) });
    });
    source.addEventListener("status", (event: MessageEvent<string>) => {
      dispatch({ type: "status", status: JSON.parse(event.data) as Status });
    });
    // The browser tries again by itself.
    source.addEventListener("error", () => dispatch({ type: "connection", connected: false }));
    source.addEventListener("open", () => dispatch({ type: "connection", connected: true }));
    return () => source.close();
  }, []);
  return live;
}
