/** The inspector: a list, and one request beside it. Which one is in the URL. */
import type { JSX } from "preact";
import { useMemo, useRef, useState } from "preact/hooks";

import { CopyButton } from "../shared/copy";
import { count } from "../shared/format";
import { useHash } from "../shared/hash";
import { KeyHelp } from "../shared/help";
import { useKeys } from "../shared/keys";
import { clear, har, type Status, type Summary } from "./api";
import { DetailPane } from "./detail";
import { matcher } from "./filter";
import { List } from "./list";
import { useLive } from "./live";

function useSelected(): [number | undefined, (id: number | undefined) => void] {
  const id = Number(useHash());
  const select = (id: number | undefined): void => {
    location.hash = id === undefined ? "" : String(id);
  };
  return [Number.isInteger(id) && id > 0 ? id : undefined, select];
}

export function App(): JSX.Element {
  const live = useLive();
  const [selected, select] = useSelected();
  const [filter, setFilter] = useState("");
  const [failed, setFailed] = useState<string | undefined>();
  const [helping, setHelping] = useState(false);
  const search = useRef<HTMLInputElement>(null);
  const shown = useMemo(() => live.requests.filter(matcher(filter)), [live.requests, filter]);
  const summary = live.requests.find((request) => request.id === selected);
  const services = new Set(live.status?.services.map((service) => service.service));
  const step = (by: number): void => {
    const at = shown.findIndex((request) => request.id === selected);
    const next = shown[Math.min(Math.max(at + by, 0), shown.length - 1)];
    if (next === undefined) return;
    select(next.id);
    document.getElementById(`request-${next.id}`)?.scrollIntoView({ block: "nearest" });
  };
  const tell = (error: Error): void => setFailed(error.message);
  useKeys({
    "/": () => search.current?.focus(),
    j: () => step(1),
    k: () => step(-1),
    ArrowDown: () => step(1),
    ArrowUp: () => step(-1),
    "?": () => setHelping(true),
  });
  const download = (): void => {
    har(false).then((blob) => {
      const link = document.createElement("a");
      link.href = URL.createObjectURL(blob);
      link.download = "requests.har";
      link.click();
      setTimeout(() => URL.revokeObjectURL(link.href), 1000);
    }, tell);
  };
  return (
    <div class={`app ${summary === undefined ? "" : "has-detail"}`}>
      <header class="top">
        <State status={live.status} connected={live.connected} />
        <form class="search" role="search" onSubmit={(event) => event.preventDefault()}>
          <input
            ref={search}
            type="search"
            placeholder="Filter: word, 4xx, -word"
            aria-label="Filter requests"
            value={filter}
            onInput={(event) => setFilter(event.currentTarget.value)}
            onKeyDown={(event) => {
              if (event.key !== "Escape") return;
              event.stopPropagation();
              setFilter("");
              event.currentTarget.blur();
            }}
          />
        </form>
        <div class="tools">
          <button type="button" class="quiet" onClick={download}>
            HAR
          </button>
          <button type="button" class="quiet" onClick={() => clear().then(() => select(undefined), tell)}>
            Clear
          </button>
          <button type="button" class="quiet" aria-label="Keys" onClick={() => setHelping(true)}>
            ?
          </button>
        </div>
      </header>
      {failed !== undefined && (
        <p class="notice bar" role="alert">
          {failed}{" "}
          <button type="button" class="quiet" onClick={() => setFailed(undefined)}>
            Dismiss
          </button>
        </p>
      )}
      <main class="split">
        <nav class="requests" aria-label="Requests">
          {shown.length > 0 ? <List requests={shown} selected={selected} withService={services.size > 1} /> : <Empty all={live.requests} status={live.status} connected={live.connected} />}
          <Losses status={live.status} isEmpty={live.requests.length === 0} />
        </nav>
        {summary === undefined ? (
          <p class="nothing hint">{selected === undefined ? "Choose a request." : "That request is not kept any more."}</p>
        ) : (
          <DetailPane summary={summary} onSelect={select} onClose={() => select(undefined)} />
        )}
      </main>
      {helping && <KeyHelp keys={KEYS} onClose={() => setHelping(false)} />}
    </div>
  );
}

function State(props: { status: Status | undefined; connected: boolean }): JSX.Element {
  const { status, connected } = props;
  const open = connected && status?.open === true;
  const url = status?.services.find((service) => service.url !== null)?.url ?? undefined;
  const words = !connected ? "The program does not answer" : status === undefined ? "Connecting" : open ? "Open" : "No link to the relay";
  return (
    <div class="state">
      <h1>
        <span class={`dot ${open ? "good" : "bad"}`} aria-hidden="true" />
        <span class={open ? "visually-hidden" : ""} role="status">
          {words}
        </span>
      </h1>
      {open && url !== undefined && (
        <>
          {url.startsWith("http") ? (
            <a class="public" href={url} target="_blank" rel="noreferrer">
              {url.replace(/^https?:\/\//, "")}
            </a>
          ) : (
            <span class="public">{url}</span>
          )}
          <CopyButton text={url} label="Copy" />
        </>
      )}
    </div>
  );
}

function Empty(props: { all: Summary[]; status: Status | undefined; connected: boolean }): JSX.Element {
  const { all, status, connected } = props;
  const url = status?.services.find((service) => service.url?.startsWith("http"))?.url;
  if (all.length > 0) return <p class="empty">None of {count(all.length, "request")} matches.</p>;
  if (!connected) {
    return (
      <div class="empty">
        <p>Has the tunnel ended?</p>
        <p class="hint">Requests are listed here as soon as its program answers.</p>
      </div>
    );
  }
  return (
    <div class="empty">
      <p>No requests yet.</p>
      {url && (
        <p class="hint">
          Ask for <a href={url} target="_blank" rel="noreferrer">{url}</a>, and it is listed here.
        </p>
      )}
      {status?.private === false && status.services.length > 0 && <p class="hint">Requests of private services are not kept. <span class="option">(--inspect-private)</span></p>}
    </div>
  );
}

function Losses(props: { status: Status | undefined; isEmpty: boolean }): JSX.Element | null {
  const { dropped: all, skipped } = props.status ?? { dropped: 0, skipped: 0 };
  // Older than nothing says nothing.
  const dropped = props.isEmpty ? 0 : all;
  if (dropped === 0 && skipped === 0) return null;
  const parts = [dropped > 0 ? `${dropped} older made room` : "", skipped > 0 ? `${count(skipped, "connection")} not followed` : ""];
  return <p class="losses hint">{parts.filter((part) => part !== "").join(", ")}</p>;
}

const KEYS: [string, string][] = [
  ["j k ↑ ↓", "next and previous request"],
  ["/", "filter"],
  ["r", "replay"],
  ["e", "edit and replay"],
  ["c", "copy as curl"],
  ["s", "show or hide secrets"],
  ["1 2 3 4", "response, request, timing, messages"],
  ["Esc", "back"],
];
