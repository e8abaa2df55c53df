/** What an owner has at the relay: figures, agents and names of one identity. */
import type { JSX } from "preact";

import { duration, size, whole } from "../shared/format";
import { Section } from "../shared/section";
import { AgentLine, type KnownAgents, Nobody, loadAgents } from "./agents";
import * as api from "./api";
import { usePolled } from "./polled";
import { Tiles, type Tile } from "./tiles";

const REFRESH_MS = 5000;

async function load(): Promise<KnownAgents & { names: api.Name[] }> {
  const [agents, names] = await Promise.all([loadAgents(), api.names()]);
  return { ...agents, names };
}

export function OwnPage(props: { identity: string }): JSX.Element {
  const { value, failed } = usePolled(load, REFRESH_MS);
  const sessions = value?.sessions.get(props.identity) ?? [];
  return (
    <>
      <Totals sessions={sessions} />
      <Section title="Agents">
        {failed !== undefined && <p class="notice none">{failed}</p>}
        {value === undefined && failed === undefined && <p class="hint none">Loading…</p>}
        {value?.agents.length === 0 && <Nobody />}
        {value?.agents.map((agent) => (
          <AgentLine key={agent.agent} agent={agent} sessions={sessions} services={value.services.get(agent.agent) ?? []} />
        ))}
      </Section>
      {value !== undefined && value.names.length > 0 && (
        <Section title={`Names (${whole(value.names.length)})`}>
          {value.names.map((name) => (
            <div class="line" key={name.name}>
              <span class="mono grow">{name.name}</span>
            </div>
          ))}
        </Section>
      )}
    </>
  );
}

function Totals(props: { sessions: api.AgentSession[] }): JSX.Element {
  const { sessions } = props;
  const sum = (pick: (session: api.AgentSession) => number): number => sessions.reduce((all, session) => all + pick(session), 0);
  const requests = sum((session) => session.requests);
  const failed = sum((session) => session.failed_requests);
  // Those that failed have no time.
  const answered = requests - failed;
  const average = answered <= 0 ? undefined : sum((session) => session.average_ms * (session.requests - session.failed_requests)) / answered;
  const bytes = sum((session) => session.bytes_in + session.bytes_out);
  const tiles: Tile[] = [
    ["Requests", whole(requests), "since the agents connected"],
    ["Failed", requests === 0 ? "–" : `${((failed / requests) * 100).toFixed(1)} %`, `${whole(failed)} in all`],
    ["Average", average === undefined ? "–" : duration(average), "until a response begins"],
    ["Bytes", size(bytes), "in both directions"],
  ];
  return <Tiles tiles={tiles} />;
}
