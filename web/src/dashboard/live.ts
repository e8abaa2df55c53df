/** How everything stands, kept up to date: by the WebSocket where there is a token, and by asking again where there is none. */
import { useCallback, useEffect, useRef, useState } from "preact/hooks";

import * as api from "./api";

/** Between two questions where nothing is told. */
const POLL_MS = 5000;
/** What is told within this time is asked for once. */
const GATHER_MS = 200;
/** Before a WebSocket that was lost is opened again. */
const AGAIN_MS = 2000;
/** An hour of metrics, which come every five seconds. */
const MAX_SAMPLES = 720;

export interface Sample {
  at: number;
  metrics: api.Metrics;
}

export interface Board {
  status?: api.Status;
  health?: api.Health;
  samples: Sample[];
  alerts?: { active: api.Alert[]; history: api.Alert[] };
  /** Why nothing is known, or nothing new. */
  failed?: string;
  /** Whether the token is missing or wrong. */
  locked: boolean;
}

export function useBoard(): { board: Board; refresh: () => void } {
  const [board, setBoard] = useState<Board>({ samples: [], locked: api.token() === undefined });
  const pending = useRef<number | undefined>(undefined);
  const load = useCallback(async (): Promise<void> => {
    try {
      const [status, health, metrics] = await Promise.all([api.status(), api.health(), api.metrics()]);
      const alerts = api.token() === undefined ? undefined : await api.alerts().catch(() => undefined);
      setBoard((before) => {
        const samples = [...before.samples, { at: Date.now(), metrics }].slice(-MAX_SAMPLES);
        return { status, health, samples, locked: alerts === undefined, ...(alerts === undefined ? {} : { alerts }) };
      });
    } catch (error) {
      const { message, status } = error as api.ApiError;
      setBoard((before) => ({ ...before, failed: message, locked: status === 401 || before.locked }));
    }
  }, []);
  const refresh = useCallback(() => {
    if (pending.current !== undefined) return;
    pending.current = window.setTimeout(() => {
      pending.current = undefined;
      void load();
    }, GATHER_MS);
  }, [load]);
  useEffect(() => {
    void load();
    const poll = setInterval(() => void load(), POLL_MS);
    return () => clearInterval(poll);
  }, [load]);
  const shown = api.token();
  useEffect(() => {
    if (shown === undefined) return;
    let socket: WebSocket | undefined;
    let again: number | undefined;
    const open = (): void => {
      socket = new WebSocket(`ws://${location.host}/ws`, [`token-${shown}`]);
      socket.addEventListener("message", (message: MessageEvent<string>) => {
        const { type } = JSON.parse(message.data) as { type: string };
        // Metrics come by asking; a request alone changes nothing that is shown at once.
        if (type !== "request" && type !== "metrics_update") refresh();
      });
      socket.addEventListener("close", () => {
        again = window.setTimeout(open, AGAIN_MS);
      });
    };
    open();
    return () => {
      clearTimeout(again);
      socket?.close();
    };
  }, [shown, refresh]);
  return { board, refresh };
}
