/** Tunnels that the relay keeps, and names that identities have claimed: created, changed, given another token, deleted. */
import type { JSX } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";

import { CopyButton } from "../shared/copy";
import { Dialog } from "../shared/dialog";
import { count, size, whole } from "../shared/format";
import { Section } from "../shared/section";
import { Some } from "../shared/some";
import { short } from "./agents";
import * as api from "./api";
import type { PageProps } from "./page";
import { told, usePolled } from "./polled";
import { FormDialog } from "./form-dialog";
import { Question } from "./question";
import { momentOf } from "./times";

const REFRESH_MS = 5000;
/** After the last letter of a name, before it is asked whether it is free. */
const TYPING_MS = 250;

interface Known {
  tunnels: api.Tunnel[];
  names: api.Name[];
}

async function load(): Promise<Known> {
  const [tunnels, names] = await Promise.all([api.tunnels(), api.names()]);
  // Agents with an identity are listed as tunnels for older tools, by the label of their address.
  return { tunnels: tunnels.filter((tunnel) => tunnel.domain.length !== 56), names: names.filter((name) => name.origin === "claimed") };
}

type Asked = { what: "create" } | { what: "edit" | "rotate" | "delete" | "disable"; tunnel: api.Tunnel } | { what: "token"; domain: string; token: string };

export function TunnelsPage(props: PageProps): JSX.Element {
  const { has_tunnels: isKept } = props.session;
  const { value, failed, refresh } = usePolled(load, REFRESH_MS, "tunnels");
  const [asked, setAsked] = useState<Asked | undefined>();
  const [unchanged, setUnchanged] = useState<string | undefined>();
  const close = (): void => {
    setAsked(undefined);
    refresh();
  };
  const enable = (tunnel: api.Tunnel): void => {
    setUnchanged(undefined);
    api.updateTunnel(tunnel.domain, { enabled: true }).then(refresh, (error: Error) => setUnchanged(told(error)));
  };
  const create = (
    <button type="button" disabled={!isKept} title={isKept ? undefined : "This relay keeps no tunnels"} onClick={() => setAsked({ what: "create" })}>
      Create
    </button>
  );
  return (
    <>
      <Section title="Tunnels" action={create}>
        {(failed ?? unchanged) !== undefined && (
          <p class="notice none" role="alert">
            {failed ?? unchanged}
          </p>
        )}
        {value === undefined && failed === undefined && <p class="hint none">Loading…</p>}
        {value?.tunnels.length === 0 && (
          <p class="hint none">{isKept ? "None yet. Create one, and give its token to whoever runs the agent." : "This relay keeps none. It does with a section [tunely] in the file of --config."}</p>
        )}
        <Some of={value?.tunnels ?? []} what="tunnels">
          {(tunnel) => <TunnelLine key={tunnel.domain} tunnel={tunnel} changeable={isKept} ask={setAsked} enable={enable} />}
        </Some>
      </Section>
      <Section title="Claimed names">
        {value?.names.length === 0 && <p class="hint none">No identity has claimed a name.</p>}
        <Some of={value?.names ?? []} what="names">
          {(name) => (
            <div class="line" key={name.name}>
              <span class={`dot ${name.connected ? "good" : ""}`} aria-hidden="true" />
              <b>{name.name}</b>
              <span class="mono grow" title={name.agent ?? undefined}>
                {name.agent === null ? "" : short(name.agent)}
              </span>
              <span class="hint">{name.connected ? "online" : "offline"}</span>
            </div>
          )}
        </Some>
      </Section>
      {asked !== undefined && <TunnelDialogs asked={asked} session={props.session} ask={setAsked} onClose={close} />}
    </>
  );
}

interface TunnelLineProps {
  tunnel: api.Tunnel;
  changeable: boolean;
  ask: (asked: Asked) => void;
  enable: (tunnel: api.Tunnel) => void;
}

function TunnelLine(props: TunnelLineProps): JSX.Element {
  const { tunnel, changeable, ask, enable } = props;
  const state = !tunnel.enabled ? "disabled" : tunnel.connected ? "online" : "offline";
  return (
    <div class="line">
      <span class={`dot ${state === "online" ? "good" : state === "disabled" ? "warn" : ""}`} aria-hidden="true" />
      <b>{tunnel.domain}</b>
      <span>{state}</span>
      <span class="grow hint">{[tunnel.name, tunnel.description].filter(Boolean).join(" · ")}</span>
      <span class="hint numbers">
        {count(tunnel.total_requests, "request")} · ↓ {size(tunnel.bytes_in)} ↑ {size(tunnel.bytes_out)}
      </span>
      <span class="whole hint">
        created {momentOf(tunnel.created_at)}
        {tunnel.last_connected_at === null ? ", never connected" : `, last connected ${momentOf(tunnel.last_connected_at)}`}
        {tunnel.client_version === null ? "" : `, ${tunnel.client_version}`}
      </span>
      {changeable && (
        <span class="row-actions" role="group" aria-label={`What is done with ${tunnel.domain}`}>
          <a href={`#requests/${encodeURIComponent(tunnel.domain)}`}>Requests</a>
          <button type="button" class="quiet" onClick={() => ask({ what: "edit", tunnel })}>
            Edit
          </button>
          <button type="button" class="quiet" onClick={() => (tunnel.enabled ? ask({ what: "disable", tunnel }) : enable(tunnel))}>
            {tunnel.enabled ? "Disable" : "Enable"}
          </button>
          <button type="button" class="quiet" onClick={() => ask({ what: "rotate", tunnel })}>
            New token
          </button>
          <button type="button" class="quiet danger" onClick={() => ask({ what: "delete", tunnel })}>
            Delete
          </button>
        </span>
      )}
    </div>
  );
}

interface TunnelDialogsProps {
  asked: Asked;
  session: api.Session;
  ask: (asked: Asked | undefined) => void;
  onClose: () => void;
}

function TunnelDialogs(props: TunnelDialogsProps): JSX.Element {
  const { asked, session, ask, onClose } = props;
  switch (asked.what) {
    case "create":
      return <CreateDialog domain={session.domain} onCreated={(created) => ask({ what: "token", ...created })} onClose={onClose} />;
    case "token":
      return <TokenDialog {...asked} relay={session.domain} onClose={onClose} />;
    case "edit":
      return <EditDialog tunnel={asked.tunnel} onClose={onClose} />;
    case "rotate":
      return <RotateDialog tunnel={asked.tunnel} onRotated={(rotated) => ask({ what: "token", ...rotated })} onClose={onClose} />;
    case "disable":
      return (
        <Question title={`Disable ${asked.tunnel.domain}?`} action="Disable" act={() => api.updateTunnel(asked.tunnel.domain, { enabled: false })} onClose={onClose}>
          <p>Its agent is disconnected, and is not let in until the tunnel is enabled.</p>
        </Question>
      );
    case "delete":
      return (
        <Question title={`Delete ${asked.tunnel.domain}?`} action="Delete" act={() => api.deleteTunnel(asked.tunnel.domain)} onClose={onClose}>
          <p>Its agent is disconnected, its token is good for nothing any more, and its {whole(asked.tunnel.total_requests)} requests are forgotten. Somebody else may get the name.</p>
        </Question>
      );
  }
}

/** A secret that is shown once. Keeps the dialog until its person closes it. */
function TokenDialog(props: { domain: string; token: string; relay: string; onClose: () => void }): JSX.Element {
  const command = `hvym-tunnel expose 3000 --relay ${props.relay} --dialect tunely --token-file token.txt`;
  return (
    <Dialog title={`The token of ${props.domain}`} onClose={props.onClose}>
      <p class="notice">It is shown now and never again: the relay keeps its hash alone.</p>
      <p class="secret">
        <code>{props.token}</code> <CopyButton text={props.token} label="Copy" name="Copy the token" />
      </p>
      <p>With it in token.txt, on the machine of the agent:</p>
      <p class="secret">
        <code>{command}</code> <CopyButton text={command} label="Copy" name="Copy the command" />
      </p>
    </Dialog>
  );
}

function RotateDialog(props: { tunnel: api.Tunnel; onRotated: (rotated: { domain: string; token: string }) => void; onClose: () => void }): JSX.Element {
  // Not a state: the dialog closes before it is drawn again.
  const rotated = useRef<{ domain: string; token: string } | undefined>(undefined);
  return (
    <Question
      title={`A new token for ${props.tunnel.domain}?`}
      action="Make one"
      act={async () => (rotated.current = await api.rotateToken(props.tunnel.domain))}
      onClose={() => (rotated.current === undefined ? props.onClose() : props.onRotated(rotated.current))}
    >
      <p>The token from before is good for nothing then, and an agent that uses it is disconnected.</p>
    </Question>
  );
}

function CreateDialog(props: { domain: string; onCreated: (created: { domain: string; token: string }) => void; onClose: () => void }): JSX.Element {
  const [label, setLabel] = useState("");
  const [name, setName] = useState("");
  const [free, setFree] = useState<string | true | undefined>();
  const [problem, setProblem] = useState<string | undefined>();
  useEffect(() => {
    setFree(undefined);
    if (label === "") return;
    let wanted = true;
    const timer = setTimeout(() => {
      api.availability(label).then(
        (taken) => wanted && setFree(taken ?? true),
        (error: Error) => wanted && setProblem(told(error)),
      );
    }, TYPING_MS);
    return () => {
      wanted = false;
      clearTimeout(timer);
    };
  }, [label]);
  const create = (): Promise<unknown> => {
    setProblem(undefined);
    return api.createTunnel(name === "" ? { domain: label } : { domain: label, name }).then(props.onCreated);
  };
  return (
    <FormDialog title="Create a tunnel" action="Create" tone="primary" disabled={typeof free === "string"} problem={problem} onClose={props.onClose} act={create}>
      <label class="question-field">
        Label of its host name
        <span class="suffixed">
          <input class="mono" autoFocus required maxLength={63} autocomplete="off" autocapitalize="none" spellcheck={false} value={label} aria-describedby="label-free" onInput={(event) => setLabel(event.currentTarget.value.trim().toLowerCase())} />
          <span class="mono hint">.{props.domain}</span>
        </span>
      </label>
      <p id="label-free" role="status" class={typeof free === "string" ? "mistake" : "hint"}>
        {free === undefined ? "Letters, digits and hyphens" : free === true ? "It is free." : free}
      </p>
      <label class="question-field">
        Name for people (may be empty)
        <input value={name} maxLength={255} onInput={(event) => setName(event.currentTarget.value)} />
      </label>
    </FormDialog>
  );
}

const LOGS: [string, boolean | undefined][] = [
  ["Leave the log of requests as it is", undefined],
  ["Log its requests from now on", true],
  ["Log them no more", false],
];

function EditDialog(props: { tunnel: api.Tunnel; onClose: () => void }): JSX.Element {
  const { tunnel } = props;
  const [name, setName] = useState(tunnel.name ?? "");
  const [description, setDescription] = useState(tunnel.description ?? "");
  const [log, setLog] = useState(0);
  const save = (): Promise<unknown> => {
    const logged = LOGS[log]?.[1];
    return api.updateTunnel(tunnel.domain, { name, description, ...(logged === undefined ? {} : { log_requests: logged }) }).then(props.onClose);
  };
  return (
    <FormDialog title={`Edit ${tunnel.domain}`} action="Save" tone="primary" onClose={props.onClose} act={save}>
      <label class="question-field">
        Name for people
        <input value={name} maxLength={255} onInput={(event) => setName(event.currentTarget.value)} />
      </label>
      <label class="question-field">
        Description
        <textarea rows={3} value={description} onInput={(event) => setDescription(event.currentTarget.value)} />
      </label>
      <label class="question-field">
        Log of requests
        <select value={log} onChange={(event) => setLog(Number(event.currentTarget.value))}>
          {LOGS.map(([words], at) => (
            <option key={words} value={at}>
              {words}
            </option>
          ))}
        </select>
      </label>
    </FormDialog>
  );
}
