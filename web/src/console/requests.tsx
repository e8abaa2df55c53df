/** The log of requests of one tunnel, which is chosen in the URL. */
import type { JSX } from "preact";
import { useCallback, useState } from "preact/hooks";

import { Dialog } from "../shared/dialog";
import { duration, whole } from "../shared/format";
import { useHash } from "../shared/hash";
import { JsonTree, parseJson } from "../shared/json";
import { Section } from "../shared/section";
import * as api from "./api";
import type { PageProps } from "./app";
import { usePolled } from "./polled";
import { momentOf } from "./times";

const REFRESH_MS = 5000;
const SIZES = [20, 50, 100];

export function RequestsPage(props: PageProps): JSX.Element {
  if (!props.session.has_tunnels) {
    return (
      <div class="empty">
        <p>This relay logs no requests of tunnels.</p>
        <p class="hint">
          It does with a section <code>[tunely]</code> in the file of <code>--config</code>, for tunnels that are edited to have it.
        </p>
      </div>
    );
  }
  return <Chosen />;
}

function Chosen(): JSX.Element {
  const tunnels = usePolled(api.tunnels, REFRESH_MS * 2);
  const chosen = decodeURIComponent(useHash().split("/")[1] ?? "");
  const domains = (tunnels.value ?? []).map((tunnel) => tunnel.domain).filter((domain) => domain.length !== 56);
  return (
    <>
      <p class="choose">
        <label>
          Tunnel{" "}
          <select value={chosen} onChange={(event) => (location.hash = `requests/${encodeURIComponent(event.currentTarget.value)}`)}>
            <option value="">Choose one</option>
            {domains.map((domain) => (
              <option key={domain} value={domain}>
                {domain}
              </option>
            ))}
          </select>
        </label>
      </p>
      {tunnels.failed !== undefined && <p class="notice none">{tunnels.failed}</p>}
      {chosen !== "" && <Log key={chosen} domain={chosen} />}
    </>
  );
}

function tone(request: api.LoggedRequest): string {
  return request.status_code === null ? "bad" : (["", "info", "good", "info", "warn", "bad"][Math.floor(request.status_code / 100)] ?? "bad");
}

function Log(props: { domain: string }): JSX.Element {
  const [perPage, setPerPage] = useState(50);
  const [page, setPage] = useState(0);
  const [shown, setShown] = useState<api.LoggedRequest | undefined>();
  const load = useCallback(() => api.requests(props.domain, perPage, page * perPage), [props.domain, perPage, page]);
  const { value, failed } = usePolled(load, REFRESH_MS);
  const pages = Math.max(1, Math.ceil((value?.total ?? 0) / perPage));
  const sizes = (
    <span class="joined" role="group" aria-label="Requests on a page">
      {SIZES.map((one) => (
        <button
          key={one}
          type="button"
          aria-pressed={one === perPage}
          onClick={() => {
            setPerPage(one);
            setPage(0);
          }}
        >
          {one}
        </button>
      ))}
    </span>
  );
  return (
    <Section title={value === undefined ? "Requests" : `Requests (${whole(value.total)})`} action={sizes}>
      {failed !== undefined && <p class="notice none">{failed}</p>}
      {value === undefined && failed === undefined && <p class="hint none">Loading…</p>}
      {value?.total === 0 && <p class="hint none">None are logged. The log of a tunnel is off until it is edited to have one.</p>}
      {value !== undefined && value.total > 0 && (
        <div class="table-place" tabIndex={0} role="region" aria-label="Requests">
          <table class="rows">
            <thead>
              <tr>
                <th scope="col">Time</th>
                <th scope="col">Method</th>
                <th scope="col">Path</th>
                <th scope="col">Status</th>
                <th scope="col">Duration</th>
              </tr>
            </thead>
            <tbody>
              {value.logs.map((request) => (
                <tr key={request.id}>
                  <td class="numbers">{momentOf(request.timestamp)}</td>
                  <td>{request.method}</td>
                  <td class="path">
                    <button type="button" class="link mono" onClick={() => setShown(request)}>
                      {request.path}
                    </button>
                  </td>
                  <td class={tone(request)}>{request.status_code ?? "none"}</td>
                  <td class="numbers">{duration(request.duration_ms)}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
      {pages > 1 && (
        <p class="pager">
          <button type="button" disabled={page === 0} onClick={() => setPage(page - 1)}>
            Newer
          </button>
          <span class="hint numbers">
            {page + 1} of {whole(pages)}
          </span>
          <button type="button" disabled={page + 1 >= pages} onClick={() => setPage(page + 1)}>
            Older
          </button>
        </p>
      )}
      {shown !== undefined && <RequestDialog request={shown} onClose={() => setShown(undefined)} />}
    </Section>
  );
}

function RequestDialog(props: { request: api.LoggedRequest; onClose: () => void }): JSX.Element {
  const { request } = props;
  const parts: [string, string | null][] = [
    ["Fields of the request", request.request_headers],
    ["Content of the request", request.request_body],
    ["Fields of the response", request.response_headers],
    ["Content of the response", request.response_body],
  ];
  return (
    <Dialog title={`${request.method} ${request.path}`} onClose={props.onClose}>
      <p>
        <span class={tone(request)}>{request.status_code ?? "no response"}</span> after {duration(request.duration_ms)}, {momentOf(request.timestamp)}
      </p>
      {request.error !== null && <p class="mistake">{request.error}</p>}
      {parts.map(([title, text]) => {
        if (text === null || text === "") return null;
        const json = parseJson(text);
        return (
          <div class="logged" key={title}>
            <h3 class="hint">{title}</h3>
            {json === undefined ? <pre>{text}</pre> : <JsonTree value={json} />}
          </div>
        );
      })}
    </Dialog>
  );
}
