/** Lines over time, with their values in words: those under the pointer, else the last. A picture says nothing to a screen reader. */
import type { JSX } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import uPlot from "uplot";

export interface Line {
  name: string;
  tone: string;
  values: (number | null)[];
}

interface ChartProps {
  title: string;
  /** Seconds since 1970, in order. */
  times: number[];
  lines: Line[];
  format: (value: number) => string;
}

const HEIGHT = 132;
/** The crosshairs of all charts with this key move together. */
const SYNC = "history";

export function Chart(props: ChartProps): JSX.Element {
  const { title, times, lines, format } = props;
  const place = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | undefined>(undefined);
  const [at, setAt] = useState<number | undefined>();
  const names = lines.map((line) => line.name).join();
  useEffect(() => {
    const element = place.current;
    if (element === null) return;
    const made = new uPlot(options(element, lines, format, setAt), data(times, lines), element);
    plot.current = made;
    const resized = new ResizeObserver(() => made.setSize({ width: element.clientWidth, height: HEIGHT }));
    resized.observe(element);
    const scheme = matchMedia("(prefers-color-scheme: dark)");
    const repaint = (): void => made.redraw(false, true);
    scheme.addEventListener("change", repaint);
    return () => {
      scheme.removeEventListener("change", repaint);
      resized.disconnect();
      made.destroy();
    };
  }, [names]);
  useEffect(() => plot.current?.setData(data(times, lines)), [times, lines]);
  const index = at ?? times.length - 1;
  return (
    <figure class="chart">
      <figcaption>
        <span class="chart-title">{title}</span>
        {lines.map((line) => {
          const value = line.values[index];
          return (
            <span key={line.name} class="legend">
              <i class={line.tone} aria-hidden="true" />
              {line.name} <b>{value === null || value === undefined ? "–" : format(value)}</b>
            </span>
          );
        })}
      </figcaption>
      <div ref={place} class="plot" aria-hidden="true" />
    </figure>
  );
}

function data(times: number[], lines: Line[]): uPlot.AlignedData {
  return [times, ...lines.map((line) => line.values)];
}

/** The colour that a class gives to text here: a canvas knows no variables of CSS. */
function colour(element: Element, tone: string): string {
  const probe = document.createElement("i");
  probe.className = tone;
  element.append(probe);
  const found = getComputedStyle(probe).color;
  probe.remove();
  return found;
}

function options(element: HTMLElement, lines: Line[], format: (value: number) => string, hover: (at: number | undefined) => void): uPlot.Options {
  const axis: uPlot.Axis = {
    stroke: () => colour(element, "hint"),
    grid: { stroke: () => colour(element, "rule"), width: 1 },
    ticks: { show: false },
    font: "11px system-ui, sans-serif",
  };
  return {
    width: element.clientWidth,
    height: HEIGHT,
    padding: [8, 16, 0, 0],
    legend: { show: false },
    cursor: { sync: { key: SYNC }, y: false, points: { size: 5 }, drag: { x: false, y: false } },
    hooks: { setCursor: [(plot) => hover(plot.cursor.idx ?? undefined)] },
    scales: { y: { range: (_plot, _min, max) => [0, max > 0 ? max * 1.1 : 1] } },
    series: [{}, ...lines.map((line): uPlot.Series => ({ label: line.name, stroke: () => colour(element, line.tone), width: 1.5, points: { show: false } }))],
    axes: [
      { ...axis, size: 24, space: 64, values: (_plot, ticks) => ticks.map(hourAndMinute) },
      { ...axis, size: 64, space: 32, values: (_plot, ticks) => ticks.map((tick) => (tick === 0 ? "0" : format(tick))) },
    ],
  };
}

function hourAndMinute(seconds: number): string {
  const date = new Date(seconds * 1000);
  return `${String(date.getHours()).padStart(2, "0")}:${String(date.getMinutes()).padStart(2, "0")}`;
}
