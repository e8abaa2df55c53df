/** What happened in the last hour or day, as charts whose crosshairs move together. */
import type { JSX } from "preact";
import { useCallback, useEffect, useState } from "preact/hooks";

import { duration, size } from "../shared/format";
import * as api from "./api";
import { Chart } from "../shared/chart";
import { Section } from "../shared/section";

/** Between two questions: the interval of a point, as far as it is shown. */
const REFRESH_MS: Record<api.Range, number> = { "1h": 10_000, "24h": 60_000, "7d": 300_000 };

const RANGES: [api.Range, string][] = [
  ["1h", "1 h"],
  ["24h", "24 h"],
  ["7d", "7 d"],
];

export function History(): JSX.Element {
  const [range, setRange] = useState<api.Range>("1h");
  const [known, setKnown] = useState<api.History | undefined>();
  const [failed, setFailed] = useState<string | undefined>();
  const load = useCallback(() => {
    api.history(range).then(
      (loaded) => {
        setKnown(loaded);
        setFailed(undefined);
      },
      (error: Error) => setFailed(error.message),
    );
  }, [range]);
  useEffect(() => {
    load();
    const timer = setInterval(load, REFRESH_MS[range]);
    return () => clearInterval(timer);
  }, [load, range]);
  const choose = (
    <span class="joined" role="group" aria-label="Range">
      {RANGES.map(([one, words]) => (
        <button key={one} type="button" aria-pressed={range === one} onClick={() => setRange(one)}>
          {words}
        </button>
      ))}
    </span>
  );
  return (
    <Section title="History" action={choose}>
      {failed !== undefined && <p class="notice none">{failed}</p>}
      {known === undefined ? failed === undefined && <p class="hint none">Loading…</p> : <Charts history={known} />}
    </Section>
  );
}

function Charts(props: { history: api.History }): JSX.Element {
  const { points, interval_seconds: step, timestamp } = props.history;
  const times = points.map((point) => Date.parse(point.at) / 1000);
  const of = (pick: (point: api.Step) => number | null): (number | null)[] => points.map(pick);
  // Of the step that lasts, what has passed, but not so little that a few bytes are many in a second.
  const passed = (point: api.Step): number => Math.min(Math.max((Date.parse(timestamp) - Date.parse(point.at)) / 1000, 1), step);
  return (
    <div class="charts">
      <Chart
        title="Latency"
        times={times}
        format={duration}
        lines={[
          { name: "p50", tone: "good", values: of((point) => point.p50) },
          { name: "p95", tone: "warn", values: of((point) => point.p95) },
          { name: "p99", tone: "bad", values: of((point) => point.p99) },
        ]}
      />
      <Chart title="Requests" times={times} format={(value) => `${round(value)}/s`} lines={[{ name: "all", tone: "info", values: of((point) => point.requests_per_second) }]} />
      <Chart title="Errors" times={times} format={(value) => `${round(value)} %`} lines={[{ name: "failed", tone: "bad", values: of((point) => (point.requests === 0 ? null : (point.errors / point.requests) * 100)) }]} />
      <Chart
        title="Bytes"
        times={times}
        format={(value) => `${size(value)}/s`}
        lines={[
          { name: "in", tone: "info", values: of((point) => point.bytes_in / passed(point)) },
          { name: "out", tone: "good", values: of((point) => point.bytes_out / passed(point)) },
        ]}
      />
    </div>
  );
}

function round(value: number): string {
  return value !== 0 && value < 10 ? value.toFixed(1) : String(Math.round(value));
}
