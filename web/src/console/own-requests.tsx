/** The latest requests to the services of one identity. */
import type { JSX } from "preact";
import { useCallback, useState } from "preact/hooks";

import { duration } from "../shared/format";
import * as api from "./api";
import { LogSection, tone, usePaging } from "./pager";
import { usePolled } from "./polled";
import { moment } from "./times";

const REFRESH_MS = 5000;

export function OwnLog(props: { identity: string }): JSX.Element {
  const { identity } = props;
  const [service, setService] = useState("");
  const paging = usePaging();
  const { page, perPage } = paging;
  const load = useCallback(() => api.ownRequests(identity, service, perPage, page * perPage), [identity, service, perPage, page]);
  const { value, failed } = usePolled(load, REFRESH_MS);
  return (
    <>
      <p class="choose">
        <label>
          Service{" "}
          <select
            value={service}
            onChange={(event) => {
              setService(event.currentTarget.value);
              paging.setPage(0);
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
      <LogSection paging={paging} value={value} failed={failed} none="None yet. The latest are kept while the relay runs, without their queries and contents.">
        {({ requests }) => <Rows requests={requests} />}
      </LogSection>
    </>
  );
}

function Rows(props: { requests: api.OwnRequest[] }): JSX.Element {
  return (
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
  );
}
