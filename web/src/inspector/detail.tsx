/** One request and its response. */
import type { JSX } from "preact";
import { useEffect, useState } from "preact/hooks";

import { copyText } from "../shared/copy";
import { count, duration, size } from "../shared/format";
import { useKeys } from "../shared/keys";
import { curl, type Detail, detail as load, type Field, replay, type Summary } from "./api";
import { BodyView } from "./body";
import { EditDialog } from "./edit";
import { outcome } from "./list";
import { Messages } from "./messages";
import { Timing } from "./timing";

type Tab = "response" | "request" | "messages" | "timing";

export function DetailPane(props: { summary: Summary; onSelect: (id: number) => void; onClose: () => void }): JSX.Element {
  const { summary } = props;
  const [known, setKnown] = useState<Detail | undefined>();
  const [reveal, setReveal] = useState(false);
  const [editing, setEditing] = useState(false);
  const [tab, setTab] = useState<Tab>("response");
  const [said, setSaid] = useState("");
  const say = (text: string): void => setSaid(text);
  useEffect(() => {
    setReveal(false);
    setSaid("");
    if (summary.kind === "events" || summary.kind === "websocket") setTab("messages");
    else setTab((before) => (before === "messages" ? "response" : before));
  }, [summary.id, summary.kind]);
  useEffect(() => {
    let current = true;
    load(summary.id, reveal).then(
      (loaded) => current && setKnown(loaded),
      (error: Error) => current && say(error.message),
    );
    return () => {
      current = false;
    };
  }, [summary.id, reveal, summary.progress, summary.status, summary.response_bytes, summary.messages]);
  const detail = known?.id === summary.id ? known : undefined;
  // Until the detail is here, the server says whether it can be.
  const again = (): void => {
    if (detail?.replayable !== false) replay(summary.id).then(props.onSelect, (error: Error) => say(error.message));
  };
  const copyCurl = (): void => {
    curl(summary.id, reveal)
      .then(copyText)
      .then(
        (copied) => say(copied ? "Copied as a command of curl." : "This browser does not let pages copy."),
        (error: Error) => say(error.message),
      );
  };
  const hasMessages = summary.kind === "events" || summary.kind === "websocket";
  useKeys({
    r: again,
    e: () => detail?.replayable && setEditing(true),
    c: copyCurl,
    s: () => setReveal(!reveal),
    1: () => setTab("response"),
    2: () => setTab("request"),
    3: () => setTab("timing"),
    4: () => hasMessages && setTab("messages"),
    Escape: props.onClose,
  });
  const { text, tone, said: state } = outcome(summary);
  const tabs: [Tab, string][] = [["response", "Response"], ["request", "Request"], ["timing", "Timing"]];
  if (hasMessages) tabs.push(["messages", `Messages ${summary.messages}`]);
  const isMasked = detail !== undefined && [...detail.request.headers, ...(detail.response?.headers ?? [])].some((field) => field.masked);
  return (
    <section class="detail" aria-label={`Request ${summary.id}`}>
      <header class="detail-head">
        <button type="button" class="quiet back" onClick={props.onClose}>
          ‹ Requests
        </button>
        <h2>
          <span class="method">{summary.method}</span> <span class="url">{detail?.url ?? summary.target}</span>
        </h2>
        <p class="facts">
          <span class={`status ${tone}`}>{text}</span>
          <span>{summary.duration_ms === undefined ? state : duration(summary.duration_ms)}</span>
          <span>{size(summary.response_bytes)}</span>
          <span>{summary.service}</span>
          {summary.from !== undefined && <span class="mono">from {summary.from.slice(0, 6)}…{summary.from.slice(-4)}</span>}
          {summary.replay_of !== undefined && <a href={`#${summary.replay_of}`}>again from {summary.replay_of}</a>}
        </p>
        <div class="actions">
          <button type="button" disabled={!detail?.replayable} title={detail?.replayable === false ? "Its body is not kept whole, or it asks for another protocol" : "r"} onClick={again}>
            Replay
          </button>
          <button type="button" disabled={!detail?.replayable} title="e" onClick={() => setEditing(true)}>
            Edit and replay
          </button>
          <button type="button" title="c" onClick={copyCurl}>
            Copy as curl
          </button>
          {(isMasked || reveal) && (
            <button type="button" title="s" aria-pressed={reveal} onClick={() => setReveal(!reveal)}>
              {reveal ? "Hide secrets" : "Show secrets"}
            </button>
          )}
          <span class="said-once" role="status">
            {said}
          </span>
        </div>
        <div class="tabs" role="tablist">
          {tabs.map(([name, label]) => (
            <button key={name} type="button" role="tab" id={`tab-${name}`} aria-selected={tab === name} aria-controls="panel" onClick={() => setTab(name)}>
              {label}
            </button>
          ))}
        </div>
      </header>
      <div class="panel" role="tabpanel" id="panel" aria-labelledby={`tab-${tab}`} tabIndex={0}>
        {detail === undefined ? (
          <p class="hint">Loading…</p>
        ) : tab === "timing" ? (
          <Timing detail={detail} />
        ) : tab === "messages" ? (
          <Messages detail={detail} />
        ) : tab === "response" && detail.response === undefined ? (
          <p class="hint">{detail.progress === "open" ? "No response yet." : "There was no response."}</p>
        ) : (
          <>
            <Headers fields={(tab === "request" ? detail.request : detail.response)?.headers ?? []} />
            <BodyView detail={detail} side={tab} />
          </>
        )}
      </div>
      {editing && detail !== undefined && (
        <EditDialog
          detail={detail}
          onClose={() => setEditing(false)}
          onSent={(id) => {
            setEditing(false);
            props.onSelect(id);
          }}
        />
      )}
    </section>
  );
}

function Headers(props: { fields: Field[] }): JSX.Element {
  return (
    <details class="headers" open>
      <summary>{count(props.fields.length, "header field")}</summary>
      <table class="fields">
        <tbody>
          {props.fields.map((field, at) => (
            <tr key={at}>
              <th scope="row">{field.name}</th>
              <td class={field.masked ? "masked" : undefined}>{field.value}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </details>
  );
}
