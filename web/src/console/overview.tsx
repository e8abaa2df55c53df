/** How the relay stands: figures of now, and what happened in the last hour. */
import type { JSX } from "preact";

import { Chart } from "../shared/chart";
import { CopyButton } from "../shared/copy";
import { count, size, whole } from "../shared/format";
import { Section } from "../shared/section";
import { short } from "./agents";
import * as api from "./api";
import type { PageProps } from "./page";
import { usePolled } from "./polled";
import { Tiles, type Tile } from "./tiles";

/** The interval of a point. */
const HISTORY_MS = 10_000;
const RELAYS_MS = 5000;

export function OverviewPage(props: PageProps): JSX.Element {
  const { value: status } = props.status;
  const history = usePolled(api.history, HISTORY_MS);
  const points = history.value?.points ?? [];
  return (
    <>
      <Totals status={status} points={points} seconds={history.value?.interval_seconds ?? 1} />
      {status !== undefined && (
        <Section title="Relay">
          <div class="line">
            <span class="hint">Agents dial</span>
            <span class="mono grow">{status.url}</span>
            <CopyButton text={status.url} label="Copy" name="Copy the URL" />
          </div>
          <div class="line">
            <span class="hint">Its address, to be pinned</span>
            <span class="mono grow">{status.address}</span>
            <CopyButton text={status.address} label="Copy" name="Copy the address" />
          </div>
          <div class="line">
            <span class="hint">Version</span>
            <span class="mono">{status.version}</span>
          </div>
        </Section>
      )}
      <Relays />
      <Section title="Last hour">
        {history.failed !== undefined && <p class="notice none">{history.failed}</p>}
        {history.value === undefined ? (
          history.failed === undefined && <p class="hint none">Loading…</p>
        ) : points.length < 2 ? (
          <p class="hint none">The relay has just started: charts begin after {2 * history.value.interval_seconds} seconds.</p>
        ) : (
          <Charts points={points} seconds={history.value.interval_seconds} />
        )}
      </Section>
    </>
  );
}

/** The relays of the domain, where there are several. */
function Relays(): JSX.Element | null {
  const { value, failed } = usePolled(api.relays, RELAYS_MS, "agents");
  if (failed === undefined && (value === undefined || value.store_available === null)) return null;
  return (
    <Section title={value === undefined ? "Relays" : `Relays (${whole(value.relays.length)})`}>
      {failed !== undefined && <p class="notice none">{failed}</p>}
      {value?.store_available === false && <p class="notice none">What the relays share cannot be reached: what is known of the others goes on to hold.</p>}
      {value?.relays.map((relay) => (
        <RelayLine key={relay.node} relay={relay} />
      ))}
    </Section>
  );
}

function RelayLine(props: { relay: api.Relay }): JSX.Element {
  const { relay } = props;
  const state = relay.own ? "this one" : relay.linked ? "linked" : "not linked";
  return (
    <details class="agent">
      <summary>
        <span class={`dot ${relay.linked ? "good" : "bad"}`} aria-hidden="true" />
        <b class="mono">{relay.url}</b>
        <span class="grow hint">{state}</span>
        <span class="hint numbers">{count(relay.agents.length, "agent")}</span>
      </summary>
      <div class="inside">
        <div class="line">
          <span class="hint">Its address</span>
          <span class="mono grow">{relay.address}</span>
        </div>
        {relay.agents.map((agent) => (
          <div class="line" key={agent}>
            <span class="mono" title={agent}>
              {short(agent)}
            </span>
          </div>
        ))}
      </div>
    </details>
  );
}

function Totals(props: { status: api.Status | undefined; points: api.Point[]; seconds: number }): JSX.Element {
  const { status, points, seconds } = props;
  const last = points[points.length - 1];
  const sum = (pick: (point: api.Point) => number): number => points.reduce((all, point) => all + pick(point), 0);
  const failed = status === undefined || status.requests === 0 ? undefined : (status.failed_requests / status.requests) * 100;
  const shown = (number: number | undefined): string => (number === undefined ? "–" : whole(number));
  const rate = last === undefined ? "" : `${round(last.requests / seconds)} a second`;
  const tiles: Tile[] = [
    ["Agents", shown(status?.agents), status === undefined ? "" : `${whole(status.sessions)} sessions`],
    ["Connections", shown(status?.connections), "visitors and agents"],
    ["Requests", shown(status?.requests), rate],
    ["Failed", failed === undefined ? "–" : `${failed.toFixed(1)} %`, status === undefined ? "" : `${whole(status.failed_requests)} in all`],
    ["Bytes", last === undefined ? "–" : `${size((last.bytes_in + last.bytes_out) / seconds)}/s`, last === undefined ? "" : `${size(sum((point) => point.bytes_in + point.bytes_out))} in the hour`],
    ["Logins refused", points.length === 0 ? "–" : whole(sum((point) => point.refused_logins)), "in the last hour"],
  ];
  return <Tiles class="tiles six" tiles={tiles} />;
}

function Charts(props: { points: api.Point[]; seconds: number }): JSX.Element {
  const { points, seconds } = props;
  const times = points.map((point) => point.at);
  const of = (pick: (point: api.Point) => number | null): (number | null)[] => points.map(pick);
  const perSecond = (value: number): string => `${round(value)}/s`;
  return (
    <div class="charts">
      <Chart title="Requests" times={times} format={perSecond} lines={[{ name: "all", tone: "info", values: of((point) => point.requests / seconds) }]} />
      <Chart title="Failed" times={times} format={(value) => `${round(value)} %`} lines={[{ name: "failed", tone: "bad", values: of((point) => (point.requests === 0 ? null : (point.failed_requests / point.requests) * 100)) }]} />
      <Chart
        title="Bytes"
        times={times}
        format={(value) => `${size(value)}/s`}
        lines={[
          { name: "to agents", tone: "info", values: of((point) => point.bytes_in / seconds) },
          { name: "from agents", tone: "good", values: of((point) => point.bytes_out / seconds) },
        ]}
      />
      <Chart title="Agents" times={times} format={counted} lines={[{ name: "logged in", tone: "good", values: of((point) => point.agents) }]} />
      <Chart title="Connections" times={times} format={counted} lines={[{ name: "open", tone: "info", values: of((point) => point.connections) }]} />
      <Chart title="Logins refused" times={times} format={counted} lines={[{ name: "refused", tone: "warn", values: of((point) => point.refused_logins) }]} />
    </div>
  );
}

/** An axis has marks between whole numbers, too. */
function counted(value: number): string {
  return Number.isInteger(value) ? whole(value) : "";
}

function round(value: number): string {
  return value !== 0 && value < 10 ? value.toFixed(1) : whole(value);
}
