/** The dashboard of the agent's manager: links, services, connections, numbers and alerts on one page. */
import type { ComponentChildren, JSX } from "preact";
import { useState } from "preact/hooks";

import { CopyButton } from "../shared/copy";
import { age, count, duration, size } from "../shared/format";
import * as api from "./api";
import { Chart } from "./chart";
import { type Board, useBoard } from "./live";

export function App(): JSX.Element {
  const { board, refresh } = useBoard();
  const [failed, setFailed] = useState<string | undefined>();
  const act = (action: () => Promise<void>): void => {
    setFailed(undefined);
    action().then(refresh, (error: Error) => setFailed(error.message));
  };
  const { status, health } = board;
  return (
    <div class="board">
      <header class="top">
        <h1>
          <span class={`dot ${health?.status === "healthy" ? "good" : health?.status === "degraded" ? "warn" : "bad"}`} aria-hidden="true" /> Tunnel
        </h1>
        <span class="hint" role="status">
          {health === undefined ? "Connecting" : `${health.status}, up for ${age(health.uptime)}`}
        </span>
        <span class="spring" />
        {status !== undefined && <Controls status={status} locked={board.locked} act={act} />}
      </header>
      {(failed ?? board.failed) !== undefined && (
        <p class="notice bar" role="alert">
          {failed ?? board.failed}
        </p>
      )}
      {board.locked && <Unlock onDone={refresh} />}
      <main>
        <Tiles board={board} />
        {status !== undefined && (
          <>
            <Section title="Links">{status.links.map((link) => <LinkLine key={link.name} link={link} />)}</Section>
            <Section title="Services">
              <Services services={status.services} />
            </Section>
            <Section title="Connections">
              <div class="cards">
                {Object.entries(status.connections).map(([name, connection]) => (
                  <Card key={name} name={name} connection={connection} best={status.best_connection === name} />
                ))}
              </div>
            </Section>
          </>
        )}
        <Charts board={board} />
        {board.alerts !== undefined && <Alerts alerts={board.alerts} act={act} />}
      </main>
    </div>
  );
}

function Section(props: { title: string; children: ComponentChildren; action?: JSX.Element }): JSX.Element {
  return (
    <section aria-label={props.title}>
      <h2>
        {props.title}
        {props.action}
      </h2>
      {props.children}
    </section>
  );
}

function Controls(props: { status: api.Status; locked: boolean; act: (action: () => Promise<void>) => void }): JSX.Element {
  const { status, locked, act } = props;
  const { running, connecting } = status.tunnel_manager;
  const url = status.services.find((service) => service.url !== null)?.url;
  return (
    <div class="actions">
      {typeof url === "string" && <CopyButton text={url} label="Copy URL" />}
      <button type="button" disabled={locked} onClick={() => act(api.checkNow)}>
        Health Check
      </button>
      <button type="button" disabled={locked} onClick={() => act(() => api.control("restart"))}>
        Reconnect
      </button>
      <button type="button" class="primary" disabled={locked} onClick={() => act(() => api.control(running ? "stop" : "start"))}>
        {connecting ? "Connecting.." : running ? "Disconnect Tunnel" : "Open Tunnel"}
      </button>
    </div>
  );
}

function Unlock(props: { onDone: () => void }): JSX.Element {
  const [text, setText] = useState("");
  return (
    <form
      class="unlock"
      onSubmit={(event) => {
        event.preventDefault();
        api.setToken(text);
        props.onDone();
      }}
    >
      <label>
        The token of the API lets you change something and see alerts. It is in the file that the program names at its start.
        <input type="password" autocomplete="off" value={text} onInput={(event) => setText(event.currentTarget.value)} />
      </label>
      <button type="submit">Use it</button>
    </form>
  );
}

function Tiles(props: { board: Board }): JSX.Element {
  const { health, samples } = props.board;
  const metrics = samples[samples.length - 1]?.metrics;
  const numbers = metrics?.tunnel_metrics;
  const rate = numbers === undefined || numbers.totalRequests === 0 ? "–" : `${((numbers.successfulRequests / numbers.totalRequests) * 100).toFixed(1)} %`;
  const uptime = metrics?.uptime_percent["24h"];
  const tiles: [string, string, string][] = [
    ["Requests", numbers === undefined ? "–" : String(numbers.totalRequests), numbers === undefined ? "" : `${numbers.requestsPerSecond.toFixed(1)} a second`],
    ["Success Rate", rate, numbers === undefined ? "" : `${numbers.failedRequests} failed`],
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
    <p class="line">
      <span class={`dot ${LINK_TONES[link.state]}`} aria-hidden="true" />
      <b>{link.name}</b>
      <span>{link.state}</span>
      <span class="mono grow">{link.relay}</span>
      {link.round_trip_ms !== null && <span class="hint">{duration(link.round_trip_ms)}</span>}
      {link.retry_in_ms !== null && <span class="hint">again in {duration(link.retry_in_ms)}</span>}
      {link.last_error !== null && link.state !== "connected" && <span class="notice">{link.last_error}</span>}
    </p>
  );
}

function Services(props: { services: api.Service[] }): JSX.Element {
  if (props.services.length === 0) return <p class="hint">None yet: hvym-tunnel bind NAME=TARGET</p>;
  return (
    <>
      {props.services.map((service) => (
        <p class="line" key={`${service.link}/${service.name}`}>
          <b>{service.name}</b>
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
          {service.url !== null && <CopyButton text={service.url} label="Copy" />}
          {!service.public && <span class="tag">private</span>}
          <span class="hint numbers">
            {count(service.requests, "request")} · ↓ {size(service.bytes_in)} ↑ {size(service.bytes_out)}
          </span>
        </p>
      ))}
    </>
  );
}

const QUALITY_TONES: Record<api.Quality, string> = { Excellent: "good", Good: "info", Poor: "warn", Critical: "bad" };

function Card(props: { name: string; connection: api.Connection; best: boolean }): JSX.Element {
  const { name, connection, best } = props;
  return (
    <article class="card">
      <header>
        <b>{name}</b>
        {best && <span class="tag">best</span>}
        <span class={QUALITY_TONES[connection.quality] ?? ""}>{connection.quality}</span>
      </header>
      <p class="mono">{connection.endpoint}</p>
      <p class="hint">
        {connection.type}
        {connection.version === null ? "" : ` ${connection.version}`} · {connection.connected ? duration(connection.latency) : connection.state}
      </p>
      {connection.models.length > 0 && <p class="mono models">{connection.models.join(", ")}</p>}
      {connection.error !== null && <p class="notice">{connection.error}</p>}
    </article>
  );
}

function Charts(props: { board: Board }): JSX.Element {
  const metrics = props.board.samples.map((sample) => sample.metrics);
  const of = (pick: (one: api.Metrics) => number | null): (number | null)[] => metrics.map(pick);
  const rate = (value: number): string => `${value.toFixed(1)}/s`;
  return (
    <Section title="Since this page was opened">
      <div class="charts">
        <Chart
          title="Latency"
          format={duration}
          lines={[
            { name: "p50", tone: "good", values: of((one) => one.latency.p50) },
            { name: "p95", tone: "warn", values: of((one) => one.latency.p95) },
            { name: "p99", tone: "bad", values: of((one) => one.latency.p99) },
          ]}
        />
        <Chart title="Requests" format={rate} lines={[{ name: "all", tone: "info", values: of((one) => one.tunnel_metrics.requestsPerSecond) }]} />
        <Chart title="Errors" format={(value) => `${(value * 100).toFixed(1)} %`} lines={[{ name: "rate", tone: "bad", values: of((one) => one.error_rate) }]} />
        <Chart
          title="Bytes"
          format={(value) => `${size(value)}/s`}
          lines={[
            { name: "in", tone: "info", values: of((one) => one.throughput.bytes_in_per_s) },
            { name: "out", tone: "good", values: of((one) => one.throughput.bytes_out_per_s) },
          ]}
        />
      </div>
    </Section>
  );
}

function Alerts(props: { alerts: { active: api.Alert[]; history: api.Alert[] }; act: (action: () => Promise<void>) => void }): JSX.Element {
  const { alerts, act } = props;
  const clear = (
    <button type="button" class="quiet" disabled={alerts.history.length === 0} onClick={() => act(api.clearAlerts)}>
      Clear all
    </button>
  );
  return (
    <Section title="Alerts" action={clear}>
      {alerts.active.length + alerts.history.length === 0 && <p class="hint">None.</p>}
      {[...alerts.active, ...alerts.history].map((alert) => (
        <p class="line" key={alert.id}>
          <span class={`dot ${alert.cleared_at === null ? "bad" : ""}`} aria-hidden="true" />
          <b>{alert.subject}</b>
          <span class="grow">{alert.message}</span>
          <time class="hint" dateTime={alert.raised_at}>
            {new Date(alert.raised_at).toLocaleTimeString()}
          </time>
          {alert.cleared_at === null && !alert.acknowledged && (
            <button type="button" class="quiet" onClick={() => act(() => api.acknowledge(alert.id))}>
              Seen
            </button>
          )}
        </p>
      ))}
    </Section>
  );
}
