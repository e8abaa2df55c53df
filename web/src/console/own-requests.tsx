/** The latest requests to the services of one identity. */
import type { JSX } from "preact";
import { useCallback, useState } from "preact/hooks";

import { duration, whole } from "../shared/format";
import { Section } from "../shared/section";
import * as api from "./api";
import { Pager, SIZES, Sizes, tone } from "./pager";
import { usePolled } from "./polled";
import { moment } from "./times";

const REFRESH_MS = 5000;

export function OwnLog(props: { identity: string }): JSX.Element {
  const { identity } = props;
  const [service, setService] = useState("");
  const [perPage, setPerPage] = useState(SIZES[1]!);
  const [page, setPage] = useState(0);
  const load = useCallback(() => api.ownRequests(identity, service, perPage, page * perPage), [identity, service, perPage, page]);
  const { value, failed } = usePolled(load, REFRESH_MS);
  const sizes = (
    <Sizes
      chosen={perPage}
      onChange={(size) => {
        setPerPage(size);
        setPage(0);
      }}
    />
  );
  return (
    <>
      <p class="choose">
        <label>
          Service{" "}
          <select
            value={service}
            onChange={(event) => {
              setService(event.currentTarget.value);
              setPage(0);
            }}
          >
            <option value="">All</option>
            {value?.services.map((name) => (
              <option key={name} value={name}>
                {name}
              </option>
            ))}
          </select>
        </label>
      </p>
      <Section title={value === undefined ? "Requests" : `Requests (${whole(value.total)})`} action={sizes}>
        {failed !== undefined && <p class="notice none">{failed}</p>}
        {value === undefined && failed === undefined && <p class="hint none">Loading…</p>}
        {value?.total === 0 && <p class="hint none">None yet. The latest are kept while the relay runs, without their queries and contents.</p>}
        {value !== undefined && value.total > 0 && <Rows requests={value.requests} />}
        <Pager page={page} perPage={perPage} total={value?.total ?? 0} onChange={setPage} />
      </Section>
    </>
  );
}

function Rows(props: { requests: api.OwnRequest[] }): JSX.Element {
  return (
    <div class="table-place" tabIndex={0} role="region" aria-label="Requests">
      <table class="rows">
        <thead>
          <tr>
            <th scope="col">Time</th>
            <th scope="col">Method</th>
            <th scope="col">Service</th>
            <th scope="col">Path</th>
            <th scope="col">Status</th>
            <th scope="col">Duration</th>
          </tr>
        </thead>
        <tbody>
          {props.requests.map((request, at) => (
            <tr key={`${request.at} ${at}`}>
              <td class="numbers">{moment(request.at)}</td>
              <td>{request.method}</td>
              <td>{request.service}</td>
              <td class="path" title={request.path}>
                <span class="mono">{request.path}</span>
                {request.error !== null && <small class="hint reason">{request.error}</small>}
              </td>
              <td class={tone(request.status)}>{request.status ?? "none"}</td>
              <td class="numbers">{duration(request.duration_ms)}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
