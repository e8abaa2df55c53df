/** The list of requests. Each is a link, so that the back button and a screen reader know what to do. */
import type { JSX } from "preact";
import { memo } from "preact/compat";

import { clock, duration } from "../shared/format";
import type { Summary } from "./api";

export function outcome(request: Summary): { text: string; tone: string; said: string } {
  if (request.progress === "broken") return { text: request.status === undefined ? "none" : String(request.status), tone: "bad", said: "broken off" };
  if (request.status === undefined) return { text: "…", tone: "open", said: "waiting for the response" };
  const tone = ["", "info", "good", "info", "warn", "bad"][Math.floor(request.status / 100)] ?? "bad";
  return { text: String(request.status), tone, said: request.progress === "open" ? "in progress" : "complete" };
}

const Row = memo(function Row(props: { request: Summary; selected: boolean; withService: boolean }): JSX.Element {
  const { request, selected, withService } = props;
  const { text, tone, said } = outcome(request);
  const [path, query] = split(request.target);
  return (
    <li>
      <a href={`#${request.id}`} id={`request-${request.id}`} class="row" aria-current={selected ? "true" : undefined}>
        <span class={`status ${tone}`} title={said}>
          {text}
        </span>
        <span class="method">{request.method}</span>
        <span class="path" title={request.target}>
          {path}
          {query !== "" && <span class="query">{query}</span>}
        </span>
        <span class="tags">
          {request.replay_of !== undefined && <span class="tag" title={`sent again from ${request.replay_of}`}>again</span>}
          {request.kind !== "http" && <span class="tag">{request.kind === "events" ? "events" : request.kind === "websocket" ? "socket" : "upgraded"}</span>}
          {withService && <span class="tag">{request.service}</span>}
        </span>
        <span class="time">{request.duration_ms === undefined ? <span class="pulse" role="img" aria-label="in progress" /> : duration(request.duration_ms)}</span>
        <time class="clock" dateTime={new Date(request.started_ms).toISOString()}>
          {clock(request.started_ms)}
        </time>
      </a>
    </li>
  );
});

function split(target: string): [string, string] {
  const at = target.indexOf("?");
  return at < 0 ? [target, ""] : [target.slice(0, at), target.slice(at)];
}

export function List(props: { requests: Summary[]; selected: number | undefined; withService: boolean }): JSX.Element {
  return (
    <ol class="list" reversed>
      {props.requests.map((request) => (
        <Row key={request.id} request={request} selected={request.id === props.selected} withService={props.withService} />
      ))}
    </ol>
  );
}
