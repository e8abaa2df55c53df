/** Who is logged in, with which services and sessions; ends sessions and bans. */
import type { JSX } from "preact";
import { useMemo, useState } from "preact/hooks";

import { CopyButton } from "../shared/copy";
import { age, count, duration, size, whole } from "../shared/format";
import { Section } from "../shared/section";
import { Some } from "../shared/some";
import * as api from "./api";
import { BanDialog } from "./bans";
import { usePolled } from "./polled";
import { Question } from "./question";

const REFRESH_MS = 5000;

export interface KnownAgents {
  agents: api.Agent[];
  sessions: Map<string, api.AgentSession[]>;
  services: Map<string, api.Service[]>;
}

function grouped<T extends { agent: string }>(all: T[]): Map<string, T[]> {
  const groups = new Map<string, T[]>();
  for (const one of all) groups.set(one.agent, [...(groups.get(one.agent) ?? []), one]);
  return groups;
}

export async function loadAgents(): Promise<KnownAgents> {
  const [agents, sessions, services] = await Promise.all([api.agents(), api.sessions(), api.services()]);
  return { agents, sessions: grouped(sessions), services: grouped(services) };
}

type Asked = { what: "kick" | "ban"; agent: api.Agent } | { what: "end"; session: api.AgentSession };

/** The beginning and the end of an address; shorter names are whole. */
export function short(agent: string): string {
  return agent.length === 56 ? `${agent.slice(0, 8)}…${agent.slice(-8)}` : agent;
}

export function AgentsPage(): JSX.Element {
  const { value, failed, refresh } = usePolled(loadAgents, REFRESH_MS, "agents");
  const [filter, setFilter] = useState("");
  const [asked, setAsked] = useState<Asked | undefined>();
  const close = (): void => {
    setAsked(undefined);
    refresh();
  };
  const shown = useMemo(() => {
    const wanted = filter.trim().toLowerCase();
    return value?.agents.filter((agent) => [agent.agent, agent.url, agent.system, ...agent.services].some((text) => text.toLowerCase().includes(wanted))) ?? [];
  }, [value, filter]);
  const search = <input type="search" class="filter" placeholder="Filter" aria-label="Filter agents" value={filter} onInput={(event) => setFilter(event.currentTarget.value)} />;
  return (
    <>
      <Section title={value === undefined ? "Agents" : `Agents (${whole(value.agents.length)})`} action={search}>
        {failed !== undefined && <p class="notice none">{failed}</p>}
        {value === undefined && failed === undefined && <p class="hint none">Loading…</p>}
        {value?.agents.length === 0 && <Nobody />}
        {value !== undefined && value.agents.length > 0 && shown.length === 0 && <p class="hint none">None matches.</p>}
        <Some of={shown} what="agents">
          {(agent) => (
            <AgentLine
              key={agent.agent}
              agent={agent}
              sessions={value?.sessions.get(agent.agent) ?? []}
              services={value?.services.get(agent.agent) ?? []}
              ask={setAsked}
            />
          )}
        </Some>
      </Section>
      {asked?.what === "kick" && (
        <Question title="End its sessions?" action="Kick" reason act={(why) => api.kick({ agent: asked.agent.agent }, why)} onClose={close}>
          <p>
            {count(asked.agent.sessions, "session")} of <span class="mono">{asked.agent.agent}</span> will end. It may log in again at once.
          </p>
        </Question>
      )}
      {asked?.what === "end" && (
        <Question title="End this session?" action="End" reason act={(why) => api.kick({ session: asked.session.id }, why)} onClose={close}>
          <p>
            Session {asked.session.id} of <span class="mono">{asked.session.agent}</span>, from {asked.session.from}, will end. It may log in again at once.
          </p>
        </Question>
      )}
      {asked?.what === "ban" && <BanDialog subject={asked.agent.agent} onClose={close} />}
    </>
  );
}

export function Nobody(): JSX.Element {
  const relay = location.protocol === "https:" ? location.host : `ws://${location.host}`;
  return (
    <div class="empty">
      <p>No agent is connected.</p>
      <p class="hint">
        On another machine: <code>hvym-tunnel expose 3000 --relay {relay}</code>
      </p>
    </div>
  );
}

interface AgentLineProps {
  agent: api.Agent;
  sessions: api.AgentSession[];
  services: api.Service[];
  /** Nothing for an owner, who ends an agent where it runs. */
  ask?: (asked: Asked) => void;
}

export function AgentLine(props: AgentLineProps): JSX.Element {
  const { agent, sessions, services, ask } = props;
  const requests = sessions.reduce((all, session) => all + session.requests, 0);
  // Names that have a token are not banned, but disabled.
  const isIdentity = agent.agent.length === 56;
  return (
    <details class="agent">
      <summary>
        <b class="mono" title={agent.agent}>
          {short(agent.agent)}
        </b>
        {agent.system !== "native" && <span class="tag">{agent.system}</span>}
        <span class="grow hint">{agent.services.join(", ")}</span>
        <span class="hint numbers">
          {count(agent.sessions, "session")} · {count(requests, "request")} · {age(Date.now() / 1000 - agent.since)}
        </span>
      </summary>
      <div class="inside">
        <div class="line">
          <span class="mono grow">{agent.agent}</span>
          <CopyButton text={agent.agent} label="Copy" name={`Copy the address of ${short(agent.agent)}`} />
          {ask !== undefined && (
            <button type="button" class="danger" onClick={() => ask({ what: "kick", agent })}>
              Kick
            </button>
          )}
          {ask !== undefined && isIdentity && (
            <button type="button" class="danger" onClick={() => ask({ what: "ban", agent })}>
              Ban
            </button>
          )}
        </div>
        {services.map((service) => (
          <div class="line" key={service.service}>
            <b>{service.service}</b>
            <span class="tag">{service.public ? service.protocol : `${service.protocol}, private`}</span>
            <span class="mono grow">
              {service.url === null ? (
                <span class="hint">reached by those whom its owner lets in</span>
              ) : service.url.startsWith("http") ? (
                <a href={service.url} target="_blank" rel="noreferrer">
                  {service.url}
                </a>
              ) : (
                service.url
              )}
            </span>
          </div>
        ))}
        {sessions.map((session) => (
          <div class="line" key={session.id}>
            <span>Session {session.id}</span>
            <span class="mono">{session.from}</span>
            {session.version !== null && <span class="hint">{session.version}</span>}
            {session.key !== null && (
              <span class="hint" title={session.key}>
                by the key {short(session.key)}
              </span>
            )}
            <span class="grow hint numbers">
              {session.round_trip_ms === null ? "" : `${duration(session.round_trip_ms)} · `}
              {count(session.streams, "stream")} · {count(session.requests, "request")}, {whole(session.failed_requests)} failed · ↓ {size(session.bytes_in)} ↑ {size(session.bytes_out)}
            </span>
            {ask !== undefined && (
              <button type="button" class="quiet" aria-label={`End session ${session.id}`} onClick={() => ask({ what: "end", session })}>
                End
              </button>
            )}
          </div>
        ))}
      </div>
    </details>
  );
}
