/** The settings of the manager, section by section. Nothing is changed until it is saved. */
import type { ComponentChildren, JSX } from "preact";
import { useEffect, useState } from "preact/hooks";

import { count } from "../../shared/format";
import { Advanced } from "./advanced";
import type { SettingsDraft } from "./draft";
import { FieldRow, Groups } from "./field";
import { API_SERVER, LINK_FIELDS, MONITORING, OLLAMA_FIELDS, UI_AND_SYSTEM } from "./sections";

const SECTIONS: [string, string][] = [
  ["ollama", "Local Ollama"],
  ["cloud", "Cloud Proxy"],
  ["api", "API Server"],
  ["monitoring", "Monitoring"],
  ["system", "UI & System"],
  ["advanced", "Advanced"],
];

export function SettingsPage(props: { settings: SettingsDraft; locked: boolean }): JSX.Element {
  const { settings, locked } = props;
  useEffect(() => {
    const listener = (event: KeyboardEvent): void => {
      if (event.key !== "s" || !(event.ctrlKey || event.metaKey)) return;
      event.preventDefault();
      settings.save();
    };
    addEventListener("keydown", listener);
    return () => removeEventListener("keydown", listener);
  });
  if (locked) return <p class="empty hint">Settings need the token.</p>;
  if (settings.failed !== undefined) return <Broken settings={settings} />;
  if (settings.known === undefined || settings.schema === undefined) return <p class="empty hint">Loading…</p>;
  return (
    <div class="settings">
      <Contents />
      <form
        class="settings-form"
        noValidate
        onSubmit={(event) => {
          event.preventDefault();
          settings.save();
        }}
      >
        <Ollama settings={settings} />
        <CloudProxy settings={settings} />
        <Part id="api">
          <Groups settings={settings} groups={API_SERVER} />
        </Part>
        <Part id="monitoring">
          <Groups settings={settings} groups={MONITORING} />
        </Part>
        <Part id="system">
          <Groups settings={settings} groups={UI_AND_SYSTEM} />
        </Part>
        <Part id="advanced">
          <Advanced settings={settings} />
        </Part>
        <SaveBar settings={settings} />
      </form>
    </div>
  );
}

/** Where the sections are. They are no links: what follows # names the page. */
function Contents(): JSX.Element {
  const [current, setCurrent] = useState("ollama");
  useEffect(() => {
    const seen = new IntersectionObserver(
      (entries) => {
        const first = entries.find((entry) => entry.isIntersecting);
        if (first !== undefined) setCurrent(first.target.id.replace("settings-", ""));
      },
      { rootMargin: "-10% 0px -75% 0px" },
    );
    for (const [id] of SECTIONS) {
      const element = document.getElementById(`settings-${id}`);
      if (element !== null) seen.observe(element);
    }
    return () => seen.disconnect();
  }, []);
  const go = (id: string): void => {
    const element = document.getElementById(`settings-${id}`);
    element?.scrollIntoView({ block: "start" });
    element?.focus({ preventScroll: true });
  };
  return (
    <nav class="contents" aria-label="Sections">
      {SECTIONS.map(([id, title]) => (
        <button key={id} type="button" aria-current={current === id ? "true" : undefined} onClick={() => go(id)}>
          {title}
        </button>
      ))}
    </nav>
  );
}

function Part(props: { id: string; children: ComponentChildren }): JSX.Element {
  const title = SECTIONS.find(([id]) => id === props.id)?.[1] ?? "";
  return (
    <section class="part" id={`settings-${props.id}`} tabIndex={-1} aria-label={title}>
      <h2>{title}</h2>
      {props.children}
    </section>
  );
}

function Ollama(props: { settings: SettingsDraft }): JSX.Element {
  const { settings } = props;
  const entries = settings.entries("service");
  const found = entries.flatMap((entry, index) => (entry["probe"] === "ollama" || /:11434\/?$/.test(String(entry["target"])) ? [index] : []));
  const links = settings.entries("link");
  const add = (): void => {
    const link = links.length > 1 ? { link: String(links[0]?.["name"]) } : {};
    settings.add("service", { name: "ollama", target: "http://localhost:11434", probe: "ollama", enabled: true, public: true, ...link });
  };
  return (
    <Part id="ollama">
      {found.map((index) => (
        <Entry key={index} settings={settings} list="service" index={index}>
          {OLLAMA_FIELDS.map((field) => (
            <FieldRow key={field.key} settings={settings} path={`service.${index}.${field.key}`} field={field} />
          ))}
        </Entry>
      ))}
      {found.length === 0 && (
        <p class="none-yet hint">
          No Ollama is offered.{" "}
          <button type="button" disabled={links.length === 0} title={links.length === 0 ? "It needs a link, as in the next section" : undefined} onClick={add}>
            Add local Ollama
          </button>
        </p>
      )}
    </Part>
  );
}

function CloudProxy(props: { settings: SettingsDraft }): JSX.Element {
  const { settings } = props;
  const entries = settings.entries("link");
  const name = (wanted: string): string => (entries.some((entry) => entry["name"] === wanted) ? `${wanted}-${entries.length}` : wanted);
  const addCloud = (): void =>
    settings.add("link", {
      name: name("cloud"),
      relay: "wss://app.cloudtolocalllm.online",
      dialect: "cloud",
      audience: "https://api.cloudtolocalllm.online",
      enabled: true,
      auto_connect: true,
    });
  return (
    <Part id="cloud">
      {entries.map((entry, index) => (
        <Entry key={index} settings={settings} list="link" index={index}>
          {LINK_FIELDS.filter((field) => field.key !== "audience" || (entry["dialect"] ?? "auto") !== "auto").map((field) => (
            <FieldRow key={field.key} settings={settings} path={`link.${index}.${field.key}`} field={field} />
          ))}
        </Entry>
      ))}
      <p class="none-yet hint">
        {entries.length === 0 && "No link is set. "}
        <button type="button" onClick={addCloud}>
          Add cloud proxy
        </button>{" "}
        <button type="button" onClick={() => settings.add("link", { name: name("main"), relay: "", enabled: true, auto_connect: true })}>
          Add link to a relay
        </button>
      </p>
    </Part>
  );
}

function Entry(props: { settings: SettingsDraft; list: "link" | "service"; index: number; children: ComponentChildren }): JSX.Element {
  const { settings, list, index } = props;
  const name = String(settings.value(`${list}.${index}.name`) ?? "main");
  return (
    <div class="group">
      <div class="section-head">
        <h3>{name}</h3>
        <button type="button" class="quiet" aria-label={`Remove ${name}`} onClick={() => settings.remove(list, index)}>
          Remove
        </button>
      </div>
      {props.children}
    </div>
  );
}

function SaveBar(props: { settings: SettingsDraft }): JSX.Element {
  const { settings } = props;
  const { changes, mistakes, others, said } = settings;
  return (
    <div class={`save ${changes > 0 || said !== undefined ? "" : "idle"}`}>
      <div class="save-words" role="status">
        {mistakes.size > 0 ? (
          <span class="mistake">{count(mistakes.size, "thing")} to mend</span>
        ) : said !== undefined ? (
          said
        ) : changes > 0 ? (
          `${count(changes, "change")}, not saved`
        ) : (
          ""
        )}
        {others.map((other) => (
          <p key={other} class="mistake">
            {other}
          </p>
        ))}
      </div>
      <button type="button" disabled={changes === 0} onClick={settings.discard}>
        Discard
      </button>
      <button type="submit" class="primary" disabled={changes === 0 || mistakes.size > 0} title="Ctrl+S">
        Save
      </button>
    </div>
  );
}

/** What is shown where the file cannot be read. */
function Broken(props: { settings: SettingsDraft }): JSX.Element {
  const { failed } = props.settings;
  return (
    <div class="empty">
      <p>{failed?.message}</p>
      {failed?.mistakes.map((one) => (
        <p key={`${one.key}${one.message}`} class="notice mono">
          {one.line === null ? "" : `line ${one.line}: `}
          {one.key === "" ? "" : `${one.key}: `}
          {one.message}
        </p>
      ))}
      {failed?.status === 409 && (
        <p class="hint">
          Without <code>--relay</code> and <code>--bind</code> it runs what <code>config.toml</code> says, and this page changes it.
        </p>
      )}
    </div>
  );
}
