/** What happened that an operator may want to know of: refused logins, wrong keys, bans; and who changed which tunnel. */
import type { JSX } from "preact";
import { useMemo, useState } from "preact/hooks";

import { whole } from "../shared/format";
import { Section } from "../shared/section";
import { Some } from "../shared/some";
import { short } from "./agents";
import * as api from "./api";
import type { PageProps } from "./page";
import { usePolled } from "./polled";
import { moment, momentOf } from "./times";

const REFRESH_MS = 5000;

const TONES: Record<string, string> = { login_refused: "warn", wrong_key: "bad", banned: "bad", kicked: "warn", list_kept: "warn" };

export function AuditPage(props: PageProps): JSX.Element {
  return (
    <>
      <Records />
      {props.session.has_tunnels && <Changes />}
    </>
  );
}

function Records(): JSX.Element {
  const { value, failed } = usePolled(api.audit, REFRESH_MS, "audit");
  const [kind, setKind] = useState("");
  const kinds = useMemo(() => [...new Set(value?.map((record) => record.action))].sort(), [value]);
  const shown = value?.filter((record) => kind === "" || record.action === kind) ?? [];
  const choose = (
    <select aria-label="Kind of records" value={kind} onChange={(event) => setKind(event.currentTarget.value)}>
      <option value="">All</option>
      {kinds.map((one) => (
        <option key={one} value={one}>
          {words(one)}
        </option>
      ))}
    </select>
  );
  return (
    <Section title="Audit" action={choose}>
      {failed !== undefined && <p class="notice none">{failed}</p>}
      {value === undefined && failed === undefined && <p class="hint none">Loading…</p>}
      {value !== undefined && shown.length === 0 && <p class="hint none">Nothing since the relay began.</p>}
      <Some of={shown} what="records">
        {(record) => (
          <div class="line" key={`${record.at} ${record.detail} ${record.agent} ${record.peer}`}>
            <time class="hint numbers" dateTime={new Date(record.at * 1000).toISOString()}>
              {moment(record.at)}
            </time>
            <b class={TONES[record.action] ?? ""}>{words(record.action)}</b>
            {record.agent !== null && (
              <span class="mono" title={record.agent}>
                {short(record.agent)}
              </span>
            )}
            {record.peer !== null && <span class="mono hint">{record.peer}</span>}
            <span class="grow">{record.detail}</span>
            {record.suppressed > 0 && <span class="notice">{whole(record.suppressed)} more were left out before it</span>}
          </div>
        )}
      </Some>
    </Section>
  );
}

function words(action: string): string {
  return action.replaceAll("_", " ");
}

function Changes(): JSX.Element {
  const { value, failed } = usePolled(api.changes, REFRESH_MS, "tunnels");
  return (
    <Section title="Changes of tunnels">
      {failed !== undefined && <p class="notice none">{failed}</p>}
      {value?.length === 0 && <p class="hint none">None.</p>}
      <Some of={value ?? []} what="changes">
        {(change) => (
          <div class="line" key={change.id}>
            <time class="hint numbers" dateTime={change.created_at}>
              {momentOf(change.created_at)}
            </time>
            <b>{words(change.action)}</b>
            <span>{change.domain}</span>
            <span class="grow hint">{change.detail}</span>
            {change.source_ip !== null && <span class="mono hint">{change.source_ip}</span>}
          </div>
        )}
      </Some>
    </Section>
  );
}
