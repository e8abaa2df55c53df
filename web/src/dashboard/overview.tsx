/** How things stand: numbers, links, services, connections, history and alerts. */
import type { JSX } from "preact";

import { CopyButton } from "../shared/copy";
import { clock, count, duration, size, whole } from "../shared/format";
import { Icon } from "../shared/icons";
import { Some } from "../shared/some";
import * as api from "./api";
import { History } from "./history";
import type { Board } from "./live";
import { Section } from "../shared/section";

type Act = (action: () => Promise<void>) => void;

export function Overview(props: { board: Board; act: Act }): JSX.Element {
  const { board, act } = props;
  const { status } = board;
  if (board.unconfigured) return <Unconfigured />;
  return (
    <>
      <Tiles board={board} />
      {status !== undefined && (
        <>
          <Section title="Links">
            <Some of={status.links} what="links">
              {(link) => <LinkLine key={link.name} link={link} />}
            </Some>
          </Section>
          <Section title="Services">
            <Services services={status.services} />
          </Section>
          <Section title="Connections">
            <div class="cards">
              <Some of={Object.entries(status.connections)} what="connections">
                {([name, connection]) => <Card key={name} name={name} connection={connection} best={status.best_connection === name} />}
              </Some>
            </div>
          </Section>
        </>
      )}
      {!board.locked && <History />}
      {board.alerts !== undefined && <Alerts alerts={board.alerts} act={act} />}
    </>
  );
}

function Unconfigured(): JSX.Element {
  return (
    <div class="empty">
      <p>No link is set.</p>
      <p class="hint">
        <a href="#settings">Settings</a> has a place for one, or on a terminal: <code>hvym-tunnel manager --relay tunnel.example --bind web=3000</code>
      </p>
    </div>
  );
}

function Tiles(props: { board: Board }): JSX.Element {
  const { health, metrics } = props.board;
  const numbers = metrics?.tunnel_metrics;
  const rate = numbers === undefined || numbers.totalRequests === 0 ? "–" : `${((numbers.successfulRequests / numbers.totalRequests) * 100).toFixed(1)} %`;
  const uptime = metrics?.uptime_percent["24h"];
  const tiles: [string, string, string][] = [
    ["Requests", numbers === undefined ? "–" : whole(numbers.totalRequests), numbers === undefined ? "" : `${numbers.requestsPerSecond.toFixed(1)} a second`],
    ["Success Rate", rate, numbers === undefined ? "" : `${whole(numbers.failedRequests)} failed`],
    ["Avg Latency", numbers === undefined ? "–" : duration(numbers.averageLatency), ""],
    ["Health Score", health === undefined ? "–" : Math.round(health.score).toString(), uptime === null || uptime === undefined ? "" : `${uptime.toFixed(1)} % of 24 h`],
  ];
  return (
    <dl class="tiles">
      {tiles.map(([name, shown, more]) => (
        <div key={name}>
          <dt>{name}</dt>
          <dd>
            {shown} <small>{more}</small>
          </dd>
        </div>
      ))}
    </dl>
  );
}

const LINK_TONES: Record<api.Link["state"], string> = {
  connected: "good",
  connecting: "warn",
  authenticating: "warn",
  reconnecting: "warn",
  disconnected: "",
  error: "bad",
};

function LinkLine(props: { link: api.Link }): JSX.Element {
  const { link } = props;
  return (
    <div class="line">
      <span class={`dot ${LINK_TONES[link.state]}`} aria-hidden="true" />
      <b>{link.name}</b>
      <span>{link.state}</span>
      <span class="mono grow">{link.relay}</span>
      {link.round_trip_ms !== null && <span class="hint numbers">{duration(link.round_trip_ms)}</span>}
      {link.retry_in_ms !== null && <span class="hint numbers">again in {duration(link.retry_in_ms)}</span>}
      {link.last_error !== null && link.state !== "connected" && <span class="notice whole">{link.last_error}</span>}
    </div>
  );
}

function Services(props: { services: api.Service[] }): JSX.Element {
  if (props.services.length === 0) {
    return (
      <p class="hint none">
        None yet: <code>hvym-tunnel bind NAME=TARGET</code>
      </p>
    );
  }
  return (
    <Some of={props.services} what="services">
      {(service) => (
        <div class="line" key={`${service.link}/${service.name}`}>
          <b>{service.name}</b>
          {!service.public && <span class="tag">private</span>}
          <span class="mono grow">
            {service.url?.startsWith("http") ? (
              <a href={service.url} target="_blank" rel="noreferrer">
                {service.url}
              </a>
            ) : (
              (service.url ?? "not reached yet")
            )}
            <span class="hint"> → {service.target}</span>
          </span>
          <span class="hint numbers">
            {count(service.requests, "request")} · ↓ {size(service.bytes_in)} ↑ {size(service.bytes_out)}
          </span>
          {service.url !== null && <CopyButton text={service.url} label="Copy" name={`Copy the URL of ${service.name}`} />}
        </div>
      )}
    </Some>
  );
}

const QUALITY_TONES: Record<api.Quality, string> = { Excellent: "good", Good: "info", Poor: "warn", Critical: "bad" };

function Card(props: { name: string; connection: api.Connection; best: boolean }): JSX.Element {
  const { name, connection, best } = props;
  return (
    <article class="card">
      <header>
        <Icon name={connection.type} />
        <b>{name}</b>
        {best && <span class="tag">best</span>}
        <span class={`quality ${QUALITY_TONES[connection.quality] ?? ""}`}>{connection.quality}</span>
      </header>
      <p class="mono">{connection.endpoint}</p>
      <p class="hint">
        {connection.type}
        {connection.version === null ? "" : ` ${connection.version}`} · {connection.connected ? duration(connection.latency) : connection.state}
        {connection.models.length > 0 && ` · ${count(connection.models.length, "model")}`}
      </p>
      {connection.models.length > 0 && <p class="mono models">{connection.models.join(", ")}</p>}
      {connection.error !== null && <p class="notice">{connection.error}</p>}
    </article>
  );
}

function Alerts(props: { alerts: { active: api.Alert[]; history: api.Alert[] }; act: Act }): JSX.Element {
  const { alerts, act } = props;
  const clear = (
    <button type="button" class="quiet" disabled={alerts.history.length === 0} onClick={() => act(api.clearAlerts)}>
      Clear all
    </button>
  );
  const all = [...alerts.active, ...alerts.history];
  return (
    <Section title="Alerts" action={clear}>
      {all.length === 0 && <p class="hint none">None.</p>}
      <Some of={all} what="alerts">
        {(alert) => (
          <div class="line" key={alert.id}>
            <span class={`dot ${alert.cleared_at === null ? "bad" : ""}`} aria-hidden="true" />
            <span class="visually-hidden">{alert.cleared_at === null ? "holds" : "over"}</span>
            <b>{alert.subject}</b>
            <span class="grow">{alert.message}</span>
            <time class="hint numbers" dateTime={alert.raised_at}>
              {clock(Date.parse(alert.raised_at))}
            </time>
            {alert.cleared_at === null && !alert.acknowledged && (
              <button type="button" class="quiet" onClick={() => act(() => api.acknowledge(alert.id))}>
                Seen
              </button>
            )}
          </div>
        )}
      </Some>
    </Section>
  );
}
