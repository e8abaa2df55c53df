/** How everything stands, kept up to date: by the WebSocket where there is a token, and by asking again where there is none. */
import { useCallback, useEffect, useRef, useState } from "preact/hooks";

import * as api from "./api";

/** Between two questions where nothing is told. */
const POLL_MS = 5000;
/** What is told within this time is asked for once. */
const GATHER_MS = 200;
/** Before a WebSocket that was lost is opened again. */
const AGAIN_MS = 2000;

export interface Board {
  status?: api.Status;
  health?: api.Health;
  metrics?: api.Metrics;
  alerts?: { active: api.Alert[]; history: api.Alert[] };
  /** Whether there is no link at all. */
  unconfigured: boolean;
  /** Why nothing is known, or nothing new. */
  failed?: string;
  /** When the program answered the last time. */
  heardAt?: number;
  /** Whether the token is missing or wrong. */
  locked: boolean;
  /** Whether a token was given, and is wrong. */
  wrong: boolean;
}

/** What the program answers; nothing where it has no link. */
async function configured<T>(answer: Promise<T>): Promise<T | undefined> {
  return answer.catch((error: api.ApiError) => {
    if (error.status === 503) return undefined;
    throw error;
  });
}

async function look(): Promise<Board> {
  const [health, status, metrics] = await Promise.all([api.health(), configured(api.status()), configured(api.metrics())]);
  const board: Board = { health, unconfigured: status === undefined, heardAt: Date.now(), locked: true, wrong: false };
  if (status !== undefined) board.status = status;
  if (metrics !== undefined) board.metrics = metrics;
  if (api.token() !== undefined || api.access.remote) {
    board.alerts = await api.alerts();
    board.locked = false;
  }
  return board;
}

export function useBoard(): { board: Board; refresh: () => void } {
  const [board, setBoard] = useState<Board>({ unconfigured: false, locked: api.token() === undefined, wrong: false });
  const pending = useRef<number | undefined>(undefined);
  const load = useCallback(async (): Promise<void> => {
    try {
      const now = await look();
      setBoard((before) => ({ ...now, wrong: before.wrong && now.locked }));
    } catch (error) {
      const { message, status } = error as api.ApiError;
      if (status === 401 && api.token() !== undefined) {
        // Who may read without a token does so; a wrong one is refused even for reading.
        api.forgetToken();
        setBoard((before) => ({ ...before, locked: true, wrong: true }));
        void load();
      } else if (status === 401) {
        setBoard((before) => ({ ...before, locked: true, heardAt: Date.now() }));
      } else {
        setBoard((before) => ({ ...before, failed: message }));
      }
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
  // Nothing is shown where none is needed.
  const shown = board.locked ? undefined : (api.token() ?? "");
  useEffect(() => {
    if (shown === undefined) return;
    let socket: WebSocket | undefined;
    let again: number | undefined;
    let wanted = true;
    const open = (): void => {
      const scheme = location.protocol === "https:" ? "wss" : "ws";
      socket = new WebSocket(`${scheme}://${location.host}/ws`, shown === "" ? [] : [`token-${shown}`]);
      socket.addEventListener("message", (message: MessageEvent<string>) => {
        const { type } = JSON.parse(message.data) as { type: string };
        // Metrics come by asking; a request alone changes nothing that is shown at once.
        if (type !== "request" && type !== "metrics_update") refresh();
      });
      socket.addEventListener("close", () => {
        if (wanted) again = window.setTimeout(open, AGAIN_MS);
      });
    };
    open();
    return () => {
      wanted = false;
      clearTimeout(again);
      socket?.close();
    };
  }, [shown, refresh]);
  return { board, refresh };
}
