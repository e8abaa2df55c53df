/** The console: the sign-in, and the pages behind it, which are others for the operator and for owners. Which of them is in the URL. */
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
import { OwnPage } from "./own";
import { OwnLog } from "./own-requests";
import type { PageProps } from "./page";
import { SIGNED_OUT, type Polled, usePolled } from "./polled";
import { RequestsPage } from "./requests";
import { SignIn } from "./sign-in";
import { TunnelsPage } from "./tunnels";

interface Page<P> {
  hash: string;
  title: string;
  page: (props: P) => JSX.Element;
}

const PAGES: Page<PageProps>[] = [
  { hash: "", title: "Overview", page: OverviewPage },
  { hash: "agents", title: "Agents", page: AgentsPage },
  { hash: "tunnels", title: "Tunnels", page: TunnelsPage },
  { hash: "requests", title: "Requests", page: RequestsPage },
  { hash: "audit", title: "Audit", page: AuditPage },
  { hash: "bans", title: "Bans", page: BansPage },
  { hash: "limits", title: "Limits", page: LimitsPage },
];

/** What an owner sees, of its own agents alone. */
const OWN_PAGES: Page<{ identity: string }>[] = [
  { hash: "", title: "Agents", page: OwnPage },
  { hash: "requests", title: "Requests", page: OwnLog },
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
  if (!session.signed_in) return <SignIn session={session} onDone={load} />;
  return session.role === "owner" ? <OwnConsole session={session} onSignedOut={load} /> : <Console session={session} onSignedOut={load} />;
}

interface ConsoleProps {
  session: api.Session;
  onSignedOut: () => void;
}

function Console(props: ConsoleProps): JSX.Element {
  const { session } = props;
  const status = usePolled(api.status, STATUS_MS);
  useLive(status.put);
  return <Board {...props} pages={PAGES} state={<State session={session} status={status} />} show={(page) => <page.page key={page.hash} session={session} status={status} />} />;
}

function OwnConsole(props: ConsoleProps): JSX.Element {
  const identity = props.session.identity ?? "";
  return <Board {...props} pages={OWN_PAGES} state={<h1>{props.session.domain}</h1>} show={(page) => <page.page key={page.hash} identity={identity} />} />;
}

interface BoardProps<P> extends ConsoleProps {
  pages: Page<P>[];
  state: JSX.Element;
  show: (page: Page<P>) => JSX.Element;
}

/** The pages of whoever is signed in, and what is above them. */
function Board<P>(props: BoardProps<P>): JSX.Element {
  const { session, pages } = props;
  const [helping, setHelping] = useState(false);
  const hash = useHash().split("/")[0];
  const shown = pages.find((page) => page.hash === hash) ?? pages[0]!;
  const keys = [...pages.map(({ title }, at): [string, string] => [String(at + 1), title.toLowerCase()]), ["?", "this list"] as [string, string]];
  useKeys({
    ...Object.fromEntries(pages.map((page, at) => [String(at + 1), () => (location.hash = page.hash)])),
    "?": () => setHelping(true),
  });
  useEffect(() => {
    document.title = `${shown.title} – ${session.domain}`;
  }, [shown, session.domain]);
  const signOut = (): void => void api.signOut().catch(() => undefined).then(props.onSignedOut);
  return (
    <div class="board">
      <header class="top console">
        {props.state}
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
          {pages.map((page) => (
            <a key={page.hash} href={`#${page.hash}`} aria-current={page === shown ? "page" : undefined}>
              {page.title}
            </a>
          ))}
        </nav>
      </header>
      <main>
        <h2 class="visually-hidden">{shown.title}</h2>
        {props.show(shown)}
      </main>
      {helping && <KeyHelp keys={keys} onClose={() => setHelping(false)} />}
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
