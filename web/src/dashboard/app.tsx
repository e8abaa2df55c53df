/** The dashboard of the agent's manager: how things stand, and its settings. Which of both is in the URL. */
import type { JSX } from "preact";
import { useEffect, useState } from "preact/hooks";

import { copyText } from "../shared/copy";
import { age, clock } from "../shared/format";
import { useHash } from "../shared/hash";
import { KeyHelp } from "../shared/help";
import { useKeys } from "../shared/keys";
import * as api from "./api";
import { type Board, useBoard } from "./live";
import { Overview } from "./overview";
import { QrDialog } from "./qr";
import { SettingsPage } from "./settings/page";
import { useSettings } from "./settings/draft";
import { Unlock } from "./unlock";

type Page = "overview" | "settings";

const KEYS: [string, string][] = [
  ["1", "overview"],
  ["2", "settings"],
  ["c", "copy the URL"],
  ["q", "the URL as a QR code"],
  ["h", "check every connection now"],
  ["Ctrl+S", "save the settings"],
  ["?", "this list"],
];

export function App(): JSX.Element {
  const { board, refresh } = useBoard();
  const page: Page = useHash() === "settings" ? "settings" : "overview";
  const settings = useSettings(page === "settings" && !board.locked && !api.access.remote);
  const [said, setSaid] = useState<string | undefined>();
  const [failed, setFailed] = useState<string | undefined>();
  const [dialog, setDialog] = useState<"keys" | "qr" | undefined>();
  const url = board.status?.services.find((service) => service.url?.startsWith("http"))?.url ?? undefined;
  const act = (action: () => Promise<void>): void => {
    setFailed(undefined);
    action().then(refresh, (error: Error) => setFailed(error.message));
  };
  const copy = (): void => {
    if (url !== undefined) void copyText(url).then((copied) => setSaid(copied ? "Copied" : "This browser does not let pages copy"));
  };
  useEffect(() => {
    if (said === undefined) return;
    const timer = setTimeout(() => setSaid(undefined), 1500);
    return () => clearTimeout(timer);
  }, [said]);
  useKeys({
    1: () => (location.hash = ""),
    2: () => (location.hash = "settings"),
    c: copy,
    q: () => url !== undefined && setDialog("qr"),
    h: () => !board.locked && act(api.checkNow),
    "?": () => setDialog("keys"),
  });
  return (
    <div class="board">
      <header class="top">
        <State board={board} />
        <nav class="pages" aria-label="Pages">
          <a href="#" aria-current={page === "overview" ? "page" : undefined}>
            Overview
          </a>
          <a href="#settings" aria-current={page === "settings" ? "page" : undefined}>
            Settings
            {settings.changes > 0 && <span class="badge" title="Not saved">{settings.changes}</span>}
          </a>
        </nav>
        <span class="spring" />
        <span class="said hint" role="status">
          {said}
        </span>
        {board.status !== undefined && <Controls board={board} url={url} act={act} copy={copy} showQr={() => setDialog("qr")} />}
        <button type="button" class="quiet keys-button" aria-label="Keys" onClick={() => setDialog("keys")}>
          ?
        </button>
      </header>
      {failed !== undefined && (
        <p class="notice bar" role="alert">
          {failed}{" "}
          <button type="button" class="quiet" onClick={() => setFailed(undefined)}>
            Dismiss
          </button>
        </p>
      )}
      <main>
        {board.locked && board.failed === undefined && board.heardAt !== undefined && <Unlock wrong={board.wrong} onDone={refresh} />}
        {page === "settings" && api.access.remote ? (
          <p class="empty hint">Settings are changed on the machine of the agent alone.</p>
        ) : page === "settings" ? (
          <SettingsPage settings={settings} locked={board.locked} />
        ) : (
          <Overview board={board} act={act} />
        )}
      </main>
      {dialog === "keys" && <KeyHelp keys={KEYS} onClose={() => setDialog(undefined)} />}
      {dialog === "qr" && url !== undefined && <QrDialog url={url} onClose={() => setDialog(undefined)} />}
    </div>
  );
}

const TONES: Record<api.Health["status"], string> = { healthy: "good", degraded: "warn", unhealthy: "bad" };

function State(props: { board: Board }): JSX.Element {
  const { health, failed, heardAt } = props.board;
  const tone = failed !== undefined ? "bad" : health === undefined ? "" : TONES[health.status];
  const words =
    failed !== undefined
      ? heardAt === undefined
        ? failed
        : `${failed} Last heard at ${clock(heardAt)}.`
      : health === undefined
        ? "Connecting"
        : `${health.status}, up for ${age(health.uptime)}`;
  return (
    <div class="state">
      <h1>
        <span class={`dot ${tone}`} aria-hidden="true" /> Tunnel
      </h1>
      <span class={failed === undefined ? "hint" : "bad"} role="status">
        {words}
      </span>
    </div>
  );
}

interface ControlsProps {
  board: Board;
  url: string | undefined;
  act: (action: () => Promise<void>) => void;
  copy: () => void;
  showQr: () => void;
}

function Controls(props: ControlsProps): JSX.Element {
  const { board, url, act } = props;
  const { running, connecting } = board.status?.tunnel_manager ?? { running: false, connecting: false };
  const disabled = board.locked || board.failed !== undefined;
  return (
    <div class="actions">
      {url !== undefined && (
        <span class="joined">
          <button type="button" title="c" onClick={props.copy}>
            Copy URL
          </button>
          <button type="button" title="q" onClick={props.showQr}>
            QR
          </button>
        </span>
      )}
      <button type="button" title="h" disabled={disabled} onClick={() => act(api.checkNow)}>
        Health Check
      </button>
      <button type="button" disabled={disabled} onClick={() => act(() => api.control("restart"))}>
        Reconnect
      </button>
      {/* Whoever came by the tunnel would not come back. */}
      {!api.access.remote && (
        <button type="button" class="primary" disabled={disabled} onClick={() => act(() => api.control(running ? "stop" : "start"))}>
          {connecting ? "Connecting.." : running ? "Disconnect Tunnel" : "Open Tunnel"}
        </button>
      )}
    </div>
  );
}
