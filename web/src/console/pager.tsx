/** What logs of requests have in common: which page is shown, how many requests are on one, and how a status looks. */
import type { ComponentChildren, JSX } from "preact";
import { useState } from "preact/hooks";

import { whole } from "../shared/format";
import { Section } from "../shared/section";

const SIZES = [20, 50, 100];

export function tone(status: number | null): string {
  return status === null ? "bad" : (["", "info", "good", "info", "warn", "bad"][Math.floor(status / 100)] ?? "bad");
}

function Sizes(props: { chosen: number; onChange: (size: number) => void }): JSX.Element {
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

function Pager(props: { page: number; perPage: number; total: number; onChange: (page: number) => void }): JSX.Element | null {
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

export interface Paging {
  page: number;
  perPage: number;
  setPage: (page: number) => void;
  setPerPage: (size: number) => void;
}

/** Which part of a log is shown: the first page at the start, and of another size again. */
export function usePaging(): Paging {
  const [perPage, setSize] = useState(SIZES[1]!);
  const [page, setPage] = useState(0);
  const setPerPage = (size: number): void => {
    setSize(size);
    setPage(0);
  };
  return { page, perPage, setPage, setPerPage };
}

interface LogSectionProps<T> {
  paging: Paging;
  value: T | undefined;
  failed: string | undefined;
  /** What is said where there are no requests. */
  none: string;
  children: (value: T) => ComponentChildren;
  /** Beside the requests. */
  dialog?: ComponentChildren;
}

/** A part of a log, and the way to the others. */
export function LogSection<T extends { total: number }>(props: LogSectionProps<T>): JSX.Element {
  const { value, failed, paging } = props;
  return (
    <Section title={value === undefined ? "Requests" : `Requests (${whole(value.total)})`} action={<Sizes chosen={paging.perPage} onChange={paging.setPerPage} />}>
      {failed !== undefined && <p class="notice none">{failed}</p>}
      {value === undefined && failed === undefined && <p class="hint none">Loading…</p>}
      {value?.total === 0 && <p class="hint none">{props.none}</p>}
      {value !== undefined && value.total > 0 && (
        <div class="table-place" tabIndex={0} role="region" aria-label="Requests">
          {props.children(value)}
        </div>
      )}
      <Pager page={paging.page} perPage={paging.perPage} total={value?.total ?? 0} onChange={paging.setPage} />
      {props.dialog}
    </Section>
  );
}
