/** Lines over time, with their last values in words: a picture says nothing to a screen reader. */
import type { JSX } from "preact";

export interface Line {
  name: string;
  tone: string;
  values: (number | null)[];
}

const WIDTH = 320;
const HEIGHT = 72;

export function Chart(props: { title: string; lines: Line[]; format: (value: number) => string }): JSX.Element {
  const { title, lines, format } = props;
  const known = lines.flatMap((line) => line.values).filter((value): value is number => value !== null);
  const top = Math.max(...known, 1e-9);
  return (
    <figure class="chart">
      <figcaption>
        <span>{title}</span>
        {lines.map((line) => {
          const last = line.values[line.values.length - 1];
          return (
            <span key={line.name} class="legend">
              <i class={line.tone} aria-hidden="true" />
              {line.name} <b>{last === null || last === undefined ? "–" : format(last)}</b>
            </span>
          );
        })}
      </figcaption>
      <svg viewBox={`0 0 ${WIDTH} ${HEIGHT}`} preserveAspectRatio="none" aria-hidden="true">
        {lines.map((line) => (
          <polyline key={line.name} class={line.tone} points={points(line.values, top)} />
        ))}
      </svg>
    </figure>
  );
}

function points(values: (number | null)[], top: number): string {
  const step = WIDTH / Math.max(values.length - 1, 1);
  const at = (value: number | null, index: number): string =>
    value === null ? "" : `${(index * step).toFixed(1)},${(HEIGHT - 2 - (value / top) * (HEIGHT - 4)).toFixed(1)}`;
  return values.map(at).filter((point) => point !== "").join(" ");
}
