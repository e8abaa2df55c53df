/** The log of requests of one tunnel, or of one identity, which is chosen in the URL. */
import type { JSX } from "preact";
import { useCallback, useState } from "preact/hooks";

import { Dialog } from "../shared/dialog";
import { duration } from "../shared/format";
import { useHash } from "../shared/hash";
import { JsonTree, parseJson } from "../shared/json";
import { short } from "./agents";
import * as api from "./api";
import { OwnLog } from "./own-requests";
import type { PageProps } from "./page";
import { LogSection, tone, usePaging } from "./pager";
import { usePolled } from "./polled";
import { momentOf } from "./times";

const REFRESH_MS = 5000;
/** As long as an address is; names of tunnels are shorter. */
const ADDRESS_CHARACTERS = 56;

async function load(): Promise<{ agents: string[]; tunnels: string[] }> {
  const [agents, tunnels] = await Promise.all([api.agents(), api.tunnels()]);
  return {
    agents: agents.map((agent) => agent.agent).filter((agent) => agent.length === ADDRESS_CHARACTERS),
    tunnels: tunnels.map((tunnel) => tunnel.domain).filter((domain) => domain.length !== ADDRESS_CHARACTERS),
  };
}

export function RequestsPage(props: PageProps): JSX.Element {
  const known = usePolled(load, REFRESH_MS * 2, "agents");
  const chosen = decodeURIComponent(useHash().split("/")[1] ?? "");
  const isAgent = chosen.length === ADDRESS_CHARACTERS;
  const { agents, tunnels } = known.value ?? { agents: [], tunnels: [] };
  // Whose agent is away has a log all the same.
  const owners = isAgent && !agents.includes(chosen) ? [...agents, chosen] : agents;
  return (
    <>
      <p class="choose">
        <label>
          Agent or tunnel{" "}
          <select value={chosen} onChange={(event) => (location.hash = `requests/${encodeURIComponent(event.currentTarget.value)}`)}>
            <option value="">Choose one</option>
            {owners.map((agent) => (
              <option key={agent} value={agent}>
                {short(agent)}
              </option>
            ))}
            {tunnels.map((domain) => (
              <option key={domain} value={domain}>
                {domain}
              </option>
            ))}
          </select>
        </label>
      </p>
      {known.failed !== undefined && <p class="notice none">{known.failed}</p>}
      {!props.session.has_tunnels && (
        <p class="hint none">
          Agents with an identity have a log always, and tunnels where there is a section <code>[tunely]</code> in the file of <code>--config</code>.
        </p>
      )}
      {isAgent && <OwnLog key={chosen} identity={chosen} />}
      {chosen !== "" && !isAgent && <Log key={chosen} domain={chosen} />}
    </>
  );
}

function Log(props: { domain: string }): JSX.Element {
  const paging = usePaging();
  const { page, perPage } = paging;
  const [shown, setShown] = useState<api.LoggedRequest | undefined>();
  const load = useCallback(() => api.requests(props.domain, perPage, page * perPage), [props.domain, perPage, page]);
  const { value, failed } = usePolled(load, REFRESH_MS);
  return (
    <LogSection
      paging={paging}
      value={value}
      failed={failed}
      none="None are logged. The log of a tunnel is off until it is edited to have one."
      dialog={shown !== undefined && <RequestDialog request={shown} onClose={() => setShown(undefined)} />}
    >
      {({ logs }) => (
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
            {logs.map((request) => (
              <tr key={request.id}>
                <td class="numbers">{momentOf(request.timestamp)}</td>
                <td>{request.method}</td>
                <td class="path">
                  <button type="button" class="link mono" onClick={() => setShown(request)}>
                    {request.path}
                  </button>
                </td>
                <td class={tone(request.status_code)}>{request.status_code ?? "none"}</td>
                <td class="numbers">{duration(request.duration_ms)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
    </LogSection>
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
        <span class={tone(request.status_code)}>{request.status_code ?? "no response"}</span> after {duration(request.duration_ms)}, {momentOf(request.timestamp)}
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
