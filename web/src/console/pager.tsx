/** Parts of a log: how many requests are on a page, which page is shown, and how a status looks. */
import type { JSX } from "preact";

import { whole } from "../shared/format";

export const SIZES = [20, 50, 100];

export function tone(status: number | null): string {
  return status === null ? "bad" : (["", "info", "good", "info", "warn", "bad"][Math.floor(status / 100)] ?? "bad");
}

export function Sizes(props: { chosen: number; onChange: (size: number) => void }): JSX.Element {
  return (
    <span class="joined" role="group" aria-label="Requests on a page">
      {SIZES.map((one) => (
        <button key={one} type="button" aria-pressed={one === props.chosen} onClick={() => props.onChange(one)}>
          {one}
        </button>
      ))}
    </span>
  );
}

export function Pager(props: { page: number; perPage: number; total: number; onChange: (page: number) => void }): JSX.Element | null {
  const { page, onChange } = props;
  const pages = Math.max(1, Math.ceil(props.total / props.perPage));
  if (pages === 1 && page === 0) return null;
  return (
    <p class="pager">
      <button type="button" disabled={page === 0} onClick={() => onChange(page - 1)}>
        Newer
      </button>
      <span class="hint numbers">
        {page + 1} of {whole(pages)}
      </span>
      <button type="button" disabled={page + 1 >= pages} onClick={() => onChange(page + 1)}>
        Older
      </button>
    </p>
  );
}
