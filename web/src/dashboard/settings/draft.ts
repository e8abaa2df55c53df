/** Settings that are edited and not saved yet. They outlive a look at the other page, and end with the tab. */
import { useCallback, useEffect, useMemo, useState } from "preact/hooks";

import * as api from "../api";
import { mistake, type Schema, schemaOf } from "./schema";

type Json = api.Json;
export type Entry = api.Section;

/** A place: a key of a section, as in `health.interval`, or of an entry, as in `link.0.relay`. */
export type Path = string;

export interface SettingsDraft {
  known: api.Settings | undefined;
  schema: Schema | undefined;
  /** Why they are not there. */
  failed: api.ApiError | undefined;
  /** How many values are other ones than in the file. */
  changes: number;
  /** What is wrong, by the place of it. */
  mistakes: Map<Path, string>;
  /** What is wrong elsewhere. */
  others: string[];
  /** What was done, or could not be. */
  said: string | undefined;
  value(path: Path): Json;
  schemaAt(path: Path): Schema;
  set(path: Path, value: Json): void;
  entries(list: "link" | "service"): Entry[];
  add(list: "link" | "service", entry: Entry): void;
  remove(list: "link" | "service", index: number): void;
  discard(): void;
  save(): void;
  /** Does something else with the file, and shows what it is then. */
  run(action: () => Promise<string>): void;
}

export function useSettings(wanted: boolean): SettingsDraft {
  const [known, setKnown] = useState<api.Settings | undefined>();
  const [schema, setSchema] = useState<Schema | undefined>();
  const [edited, setEdited] = useState<api.Section>({});
  const [failed, setFailed] = useState<api.ApiError | undefined>();
  const [refused, setRefused] = useState<api.Mistake[]>([]);
  const [said, setSaid] = useState<string | undefined>();
  const show = useCallback((loaded: api.Settings): void => {
    setKnown(loaded);
    setEdited(structuredClone(loaded.settings));
    setRefused([]);
    setFailed(undefined);
  }, []);
  const load = useCallback(async (): Promise<void> => {
    const [described, loaded] = await Promise.all([api.settingsSchema(), api.settings()]);
    setSchema(described);
    show(loaded);
  }, [show]);
  const isKnown = known !== undefined;
  useEffect(() => {
    if (wanted && !isKnown) load().catch(setFailed);
  }, [wanted, isKnown, load]);
  const changed = useMemo(() => (known === undefined ? {} : difference(known.settings, edited)), [known, edited]);
  const changes = Object.values(changed).reduce<number>((sum, section) => sum + (Array.isArray(section) ? 1 : Object.keys(section as object).length), 0);
  const wrong = useMemo(() => (schema === undefined ? new Map<Path, string>() : check(schema, changed, edited)), [schema, changed, edited]);
  const mistakes = new Map(wrong);
  const others: string[] = [];
  for (const one of refused) {
    const place = placeOf(one.key, edited);
    if (place !== undefined) mistakes.set(place, sentence(one.message));
    else others.push(`${one.key === "" ? "" : `${one.key}: `}${one.message}`);
  }
  useEffect(() => {
    if (changes === 0) return;
    const ask = (event: BeforeUnloadEvent): void => event.preventDefault();
    addEventListener("beforeunload", ask);
    return () => removeEventListener("beforeunload", ask);
  }, [changes === 0]);
  const refuse = (error: api.ApiError): void => {
    setRefused(error.mistakes ?? []);
    setSaid(error.message);
  };
  const edit = (change: (draft: api.Section) => void): void => {
    setSaid(undefined);
    setRefused([]);
    setEdited((before) => {
      const draft = structuredClone(before);
      change(draft);
      return draft;
    });
  };
  const entries = (list: string): Entry[] => (edited[list] ?? []) as Entry[];
  return {
    known,
    schema,
    failed,
    changes,
    mistakes,
    others,
    said,
    value: (path) => at(edited, path),
    schemaAt: (path) => (schema === undefined ? {} : schemaOf(schema, path.replace(/\.\d+\./, "."))),
    set: (path, value) =>
      edit((draft) => {
        const steps = path.split(".");
        const last = steps.pop() ?? "";
        (at(draft, steps.join(".")) as api.Section)[last] = value;
      }),
    entries,
    add: (list, entry) => edit((draft) => (draft[list] = [...(draft[list] as Json[]), entry])),
    remove: (list, index) => edit((draft) => (draft[list] = (draft[list] as Json[]).filter((_, position) => position !== index))),
    discard: () => known !== undefined && show(known),
    save: () => {
      if (changes === 0 || mistakes.size > 0) return;
      api.saveSettings(changed).then((saved) => {
        show(saved);
        setSaid("Saved.");
      }, refuse);
    },
    run: (action) => {
      setSaid(undefined);
      action()
        .then(async (words) => {
          await load();
          setSaid(words);
        })
        .catch(refuse);
    },
  };
}

function at(document: api.Section, path: Path): Json {
  return path.split(".").reduce<Json>((value, step) => (value as api.Section | undefined)?.[step] ?? null, document);
}

function isSame(one: Json, other: Json): boolean {
  return JSON.stringify(one) === JSON.stringify(other);
}

/** What is other than before, in the shape that is sent: keys of sections, and lists as a whole. */
function difference(before: api.Section, after: api.Section): api.Section {
  const changed: api.Section = {};
  for (const [name, section] of Object.entries(after)) {
    const old = before[name] ?? null;
    if (isSame(old, section)) continue;
    if (section === null || typeof section !== "object" || Array.isArray(section)) {
      changed[name] = section;
      continue;
    }
    const keys = Object.entries(section).filter(([key, value]) => !isSame((old as api.Section | null)?.[key] ?? null, value));
    changed[name] = Object.fromEntries(keys);
  }
  return changed;
}

/** What is wrong with the values that changed. */
function check(schema: Schema, changed: api.Section, edited: api.Section): Map<Path, string> {
  const found = new Map<Path, string>();
  const look = (path: Path, key: string, value: Json): void => {
    const wrong = mistake(schemaOf(schema, key), value);
    if (wrong !== undefined) found.set(path, wrong);
  };
  for (const [name, section] of Object.entries(changed)) {
    if (Array.isArray(section)) {
      (edited[name] as Entry[]).forEach((entry, index) => Object.entries(entry).forEach(([key, value]) => look(`${name}.${index}.${key}`, `${name}.${key}`, value)));
    } else {
      Object.entries(section as api.Section).forEach(([key, value]) => look(`${name}.${key}`, `${name}.${key}`, value));
    }
  }
  return found;
}

/** The place of a key as the program names it: entries by their name, or by their number. */
function placeOf(key: string, edited: api.Section): Path | undefined {
  const [first, second, third] = key.split(".");
  const list = edited[first ?? ""];
  if (Array.isArray(list)) {
    const index = list.findIndex((entry, position) => (entry as Entry)["name"] === second || String(position) === second);
    return index >= 0 && third !== undefined ? `${first}.${index}.${third}` : undefined;
  }
  return second !== undefined && at(edited, key) !== undefined ? key : undefined;
}

function sentence(words: string): string {
  return `${words.charAt(0).toUpperCase()}${words.slice(1)}.`;
}
