/** The operator's console: the sign-in, and the pages behind it. Which of them is in the URL. */
import type { JSX } from "preact";
import { useCallback, useEffect, useState } from "preact/hooks";

import { age } from "../shared/format";
import { useHash } from "../shared/hash";
import { KeyHelp } from "../shared/help";
import { useKeys } from "../shared/keys";
import { AgentsPage } from "./agents";
import * as api from "./api";
import { AuditPage } from "./audit";
import { BansPage } from "./bans";
import { LimitsPage } from "./limits";
import { useLive } from "./live";
import { OverviewPage } from "./overview";
import { SIGNED_OUT, type Polled, usePolled } from "./polled";
import { RequestsPage } from "./requests";
import { SignIn } from "./sign-in";
import { TunnelsPage } from "./tunnels";

export interface PageProps {
  session: api.Session;
  status: Polled<api.Status>;
}

const PAGES: { hash: string; title: string; page: (props: PageProps) => JSX.Element }[] = [
  { hash: "", title: "Overview", page: OverviewPage },
  { hash: "agents", title: "Agents", page: AgentsPage },
  { hash: "tunnels", title: "Tunnels", page: TunnelsPage },
  { hash: "requests", title: "Requests", page: RequestsPage },
  { hash: "audit", title: "Audit", page: AuditPage },
  { hash: "bans", title: "Bans", page: BansPage },
  { hash: "limits", title: "Limits", page: LimitsPage },
];

/** Between two questions about the relay as a whole. */
const STATUS_MS = 3000;

export function App(): JSX.Element {
  const [session, setSession] = useState<api.Session | undefined>();
  const [failed, setFailed] = useState<string | undefined>();
  const load = useCallback(() => {
    api.session().then(
      (known) => {
        setSession(known);
        setFailed(undefined);
      },
      (error: Error) => setFailed(error.message),
    );
  }, []);
  useEffect(() => {
    load();
    addEventListener(SIGNED_OUT, load);
    return () => removeEventListener(SIGNED_OUT, load);
  }, [load]);
  if (session === undefined) {
    return (
      <main class="sign-in">
        {failed === undefined ? (
          <p class="hint">Loading…</p>
        ) : (
          <>
            <p class="notice" role="alert">
              {failed}
            </p>
            <button type="button" onClick={load}>
              Try again
            </button>
          </>
        )}
      </main>
    );
  }
  return session.signed_in ? <Console session={session} onSignedOut={load} /> : <SignIn session={session} onDone={load} />;
}

const KEYS: [string, string][] = [...PAGES.map(({ title }, at): [string, string] => [String(at + 1), title.toLowerCase()]), ["?", "this list"]];

function Console(props: { session: api.Session; onSignedOut: () => void }): JSX.Element {
  const { session } = props;
  const [helping, setHelping] = useState(false);
  const status = usePolled(api.status, STATUS_MS);
  useLive(status.put);
  const hash = useHash().split("/")[0];
  const shown = PAGES.find((page) => page.hash === hash) ?? PAGES[0]!;
  useKeys({
    ...Object.fromEntries(PAGES.map((page, at) => [String(at + 1), () => (location.hash = page.hash)])),
    "?": () => setHelping(true),
  });
  useEffect(() => {
    document.title = `${shown.title} – ${session.domain}`;
  }, [shown, session.domain]);
  const signOut = (): void => void api.signOut().catch(() => undefined).then(props.onSignedOut);
  return (
    <div class="board">
      <header class="top console">
        <State session={session} status={status} />
        <span class="spring" />
        <span class="hint" title={session.identity ?? undefined}>
          {session.identity === null ? "by key" : `${session.identity.slice(0, 6)}…${session.identity.slice(-6)}`}
        </span>
        <button type="button" class="quiet" onClick={signOut}>
          Sign out
        </button>
        <button type="button" class="quiet keys-button" aria-label="Keys" onClick={() => setHelping(true)}>
          ?
        </button>
        <nav class="pages all-pages" aria-label="Pages">
          {PAGES.map((page) => (
            <a key={page.hash} href={`#${page.hash}`} aria-current={page === shown ? "page" : undefined}>
              {page.title}
            </a>
          ))}
        </nav>
      </header>
      <main>
        <h2 class="visually-hidden">{shown.title}</h2>
        <shown.page key={shown.hash} session={session} status={status} />
      </main>
      {helping && <KeyHelp keys={KEYS} onClose={() => setHelping(false)} />}
    </div>
  );
}

function State(props: { session: api.Session; status: Polled<api.Status> }): JSX.Element {
  const { value, failed } = props.status;
  const tone = failed !== undefined ? "bad" : value === undefined ? "" : value.draining ? "warn" : "good";
  const words = failed ?? (value === undefined ? "Loading" : `${value.draining ? "ends soon" : "up"}, for ${age(Date.now() / 1000 - value.started)}`);
  return (
    <div class="state">
      <h1>
        <span class={`dot ${tone}`} aria-hidden="true" /> {props.session.domain}
      </h1>
      <span class={failed === undefined ? "hint" : "bad"} role="status">
        {words}
      </span>
    </div>
  );
}
