/** Who is banned, and who is allowed. */
import type { JSX } from "preact";
import { useState } from "preact/hooks";

import { Section } from "../shared/section";
import { Some } from "../shared/some";
import * as api from "./api";
import { usePolled } from "./polled";
import { FormDialog } from "./form-dialog";
import { Question } from "./question";
import { moment } from "./times";

const REFRESH_MS = 10_000;
const HOUR = 3600;

const TERMS: [string, number | undefined][] = [
  ["for an hour", HOUR],
  ["for a day", 24 * HOUR],
  ["for a week", 7 * 24 * HOUR],
  ["for ever", undefined],
];

interface Known {
  bans: api.Ban[];
  access: { [name: string]: api.Json };
}

async function load(): Promise<Known> {
  const [bans, config] = await Promise.all([api.bans(), api.config()]);
  return { bans, access: config["access"] as { [name: string]: api.Json } };
}

export function BansPage(): JSX.Element {
  const { value, failed, refresh } = usePolled(load, REFRESH_MS, "audit");
  const [banning, setBanning] = useState(false);
  const [lifting, setLifting] = useState<string | undefined>();
  const add = (
    <button type="button" onClick={() => setBanning(true)}>
      Ban
    </button>
  );
  return (
    <>
      <Section title="Bans" action={add}>
        {failed !== undefined && <p class="notice none">{failed}</p>}
        {value === undefined && failed === undefined && <p class="hint none">Loading…</p>}
        {value?.bans.length === 0 && <p class="hint none">Nobody is banned.</p>}
        <Some of={value?.bans ?? []} what="bans">
          {(ban) => (
            <div class="line" key={ban.subject}>
              <span class="mono grow">{ban.subject}</span>
              {ban.reason !== "" && <span class="grow">{ban.reason}</span>}
              <span class="hint numbers">{ban.until === undefined ? "for ever" : `until ${moment(ban.until)}`}</span>
              <button type="button" class="quiet" aria-label={`Lift the ban of ${ban.subject}`} onClick={() => setLifting(ban.subject)}>
                Lift
              </button>
            </div>
          )}
        </Some>
      </Section>
      {value !== undefined && <Allowed access={value.access} />}
      {banning && (
        <BanDialog
          onClose={() => {
            setBanning(false);
            refresh();
          }}
        />
      )}
      {lifting !== undefined && (
        <Question
          title="Lift this ban?"
          action="Lift"
          act={() => api.unban(lifting)}
          onClose={() => {
            setLifting(undefined);
            refresh();
          }}
        >
          <p>
            <span class="mono">{lifting}</span> may come again at once.
          </p>
        </Question>
      )}
    </>
  );
}

function Allowed(props: { access: Known["access"] }): JSX.Element {
  const list = (name: string): string[] => (Array.isArray(props.access[name]) ? (props.access[name] as string[]) : []);
  const [allowed, denied, file] = [list("allow_agent"), list("deny_agent"), props.access["allow_agents_file"]];
  const isOpen = allowed.length === 0 && typeof file !== "string";
  return (
    <Section title="Who may be an agent">
      <p class="none hint">
        {isOpen ? "Everybody, with any key." : "Those who are listed."} The list is of the relay's options, and changes there.
        {typeof file === "string" && (
          <>
            {" "}
            Also those of <code>{file}</code>.
          </>
        )}
      </p>
      <Some of={allowed} what="agents">
        {(rule) => (
          <div class="line" key={rule}>
            <span class="mono grow">{rule}</span>
            <span class="good">allowed</span>
          </div>
        )}
      </Some>
      <Some of={denied} what="agents">
        {(address) => (
          <div class="line" key={address}>
            <span class="mono grow">{address}</span>
            <span class="bad">denied</span>
          </div>
        )}
      </Some>
    </Section>
  );
}

/** Bans `subject`, or whoever is typed. */
export function BanDialog(props: { subject?: string; onClose: () => void }): JSX.Element {
  const [subject, setSubject] = useState(props.subject ?? "");
  const [term, setTerm] = useState(0);
  const [reason, setReason] = useState("");
  const ban = (): Promise<unknown> => api.ban(subject.trim(), TERMS[term]?.[1], reason).then(props.onClose);
  return (
    <FormDialog title="Ban" action="Ban" tone="danger" onClose={props.onClose} act={ban}>
      <label class="question-field">
        An address G…, an IP address, or a network as 192.0.2.0/24
        <input class="mono" required value={subject} readOnly={props.subject !== undefined} onInput={(event) => setSubject(event.currentTarget.value)} />
      </label>
      <label class="question-field">
        How long
        <select value={term} onChange={(event) => setTerm(Number(event.currentTarget.value))}>
          {TERMS.map(([words], at) => (
            <option key={words} value={at}>
              {words}
            </option>
          ))}
        </select>
      </label>
      <label class="question-field">
        Reason, which they are told
        <input value={reason} maxLength={100} onInput={(event) => setReason(event.currentTarget.value)} />
      </label>
      <p class="hint">Its sessions end at once. A network is closed to visitors, too.</p>
    </FormDialog>
  );
}
