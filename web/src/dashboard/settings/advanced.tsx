/** Limits, and what is done with the whole file: a copy, another file, the defaults. */
import type { JSX } from "preact";
import { useRef, useState } from "preact/hooks";

import { Dialog } from "../../shared/dialog";
import { count } from "../../shared/format";
import * as api from "../api";
import type { SettingsDraft } from "./draft";
import { Groups } from "./field";
import { ADVANCED } from "./sections";

/** A larger settings file is another file. */
const MAX_FILE_BYTES = 1024 * 1024;

export function Advanced(props: { settings: SettingsDraft }): JSX.Element {
  const { settings } = props;
  const [asking, setAsking] = useState(false);
  const [withSecrets, setWithSecrets] = useState(false);
  const file = useRef<HTMLInputElement>(null);
  const unsaved = settings.changes > 0 ? "Save or discard the changes first" : undefined;
  const { known } = settings;
  const save = (): void =>
    settings.run(async () => {
      const link = document.createElement("a");
      link.href = URL.createObjectURL(await api.exportSettings(withSecrets));
      link.download = "config.toml";
      link.click();
      setTimeout(() => URL.revokeObjectURL(link.href), 1000);
      return "Exported.";
    });
  const take = (chosen: File | undefined): void => {
    if (chosen === undefined) return;
    settings.run(async () => {
      if (chosen.size > MAX_FILE_BYTES) throw new api.ApiError("That file is too large to hold settings.", 0);
      const { warnings, next_steps: steps } = await api.importSettings(await chosen.text());
      return ["Imported.", ...warnings.map((warning) => `Left out: ${warning}.`), ...steps.map((step) => `Next: ${step}.`)].join(" ");
    });
  };
  return (
    <>
      <Groups settings={settings} groups={ADVANCED} />
      <div class="group">
        <h3>The file</h3>
        <p class="hint">
          <code class="file">{known?.file}</code>
          {known?.exists === false && " (there is none yet)"}
          {known !== undefined && known.backups.length > 0 && `, ${count(known.backups.length, "backup")} beside it`}
        </p>
        <div class="actions">
          <button type="button" disabled={unsaved !== undefined} title={unsaved} onClick={save}>
            Export
          </button>
          <button type="button" disabled={unsaved !== undefined} title={unsaved} onClick={() => file.current?.click()}>
            Import
          </button>
          <button type="button" disabled={unsaved !== undefined || known?.exists === false} title={unsaved} onClick={() => settings.run(async () => `Copied to ${await api.backUpSettings()}.`)}>
            Create Backup
          </button>
          <button type="button" class="danger" onClick={() => setAsking(true)}>
            Reset
          </button>
          <label class="inline">
            <input type="checkbox" checked={withSecrets} onChange={(event) => setWithSecrets(event.currentTarget.checked)} /> export secrets too
          </label>
        </div>
        <p class="help">
          Import takes a <code>config.toml</code>, or the file of an older program. Every change copies the file first; <code>hvym-tunnel config restore</code> brings the last copy back.
        </p>
        <input
          ref={file}
          type="file"
          hidden
          tabIndex={-1}
          aria-label="Settings file"
          accept=".toml,.json,application/json"
          onChange={(event) => {
            take(event.currentTarget.files?.[0]);
            event.currentTarget.value = "";
          }}
        />
      </div>
      {asking && (
        <Dialog title="Reset the settings?" onClose={() => setAsking(false)}>
          <p>All settings go back to their defaults, and links and services are taken out. What runs now ends. A backup is made first.</p>
          <div class="dialog-end">
            <button type="button" autofocus onClick={() => setAsking(false)}>
              Cancel
            </button>
            <button
              type="button"
              class="danger"
              onClick={() => {
                setAsking(false);
                settings.run(async () => {
                  await api.resetSettings();
                  return "The defaults are back.";
                });
              }}
            >
              Reset
            </button>
          </div>
        </Dialog>
      )}
    </>
  );
}
