/** One setting: what it is called, a control that suits its schema, what it means, and what is wrong with it. */
import type { JSX } from "preact";

import type { Json } from "../api";
import type { SettingsDraft } from "./draft";
import { choices, type Schema } from "./schema";
import type { Field, Group } from "./sections";

export function FieldRow(props: { settings: SettingsDraft; path: string; field: Field }): JSX.Element {
  const { settings, path, field } = props;
  const schema = settings.schemaAt(path);
  const wrong = settings.mistakes.get(path);
  const beside = settings.known?.overrides[path];
  const id = `setting-${path}`;
  const described = [`${id}-help`, ...(wrong === undefined ? [] : [`${id}-wrong`])].join(" ");
  const help = (
    <p class="help" id={`${id}-help`}>
      <Words text={field.help ?? String(schema["description"] ?? "")} />
    </p>
  );
  return (
    <div class={`setting ${wrong === undefined ? "" : "wrong"}`}>
      <label for={id}>{field.label}</label>
      <div class="control">
        <div class="with-unit">
          <Control id={id} described={described} schema={schema} value={settings.value(path)} wrong={wrong !== undefined} set={(value) => settings.set(path, value)} />
          {field.unit !== undefined && <span class="unit">{field.unit}</span>}
          {schema["type"] === "boolean" && help}
        </div>
        {wrong !== undefined && (
          <p class="mistake" id={`${id}-wrong`}>
            {wrong}
          </p>
        )}
        {beside !== undefined && (
          <p class="notice">
            {beside.origin} sets it to <code>{beside.value}</code> in place of the file.
          </p>
        )}
        {schema["type"] !== "boolean" && help}
      </div>
    </div>
  );
}

export function Groups(props: { settings: SettingsDraft; groups: Group[] }): JSX.Element {
  return (
    <>
      {props.groups.map((group) => (
        <div key={group.section} class="group">
          {group.title !== undefined && <h3>{group.title}</h3>}
          {group.fields.map((field) => (
            <FieldRow key={field.key} settings={props.settings} path={`${group.section}.${field.key}`} field={field} />
          ))}
        </div>
      ))}
    </>
  );
}

interface ControlProps {
  id: string;
  described: string;
  schema: Schema;
  value: Json;
  wrong: boolean;
  set: (value: Json) => void;
}

function Control(props: ControlProps): JSX.Element {
  const { id, schema, value, set } = props;
  const common = { id, "aria-describedby": props.described, "aria-invalid": props.wrong };
  const type = schema["type"];
  const words = choices(schema);
  if (type === "boolean") return <input {...common} type="checkbox" checked={value === true} onChange={(event) => set(event.currentTarget.checked)} />;
  if (words !== undefined) {
    return (
      <select {...common} value={String(value)} onChange={(event) => set(event.currentTarget.value)}>
        {words.map((word) => (
          <option key={word} value={word}>
            {word}
          </option>
        ))}
      </select>
    );
  }
  if (type === "integer" || type === "number") {
    return (
      <input
        {...common}
        type="number"
        min={Number(schema["minimum"])}
        max={Number(schema["maximum"])}
        step={type === "integer" ? 1 : "any"}
        value={value === null ? "" : Number.isNaN(value) ? "" : String(value)}
        onInput={(event) => set(event.currentTarget.value === "" ? "" : event.currentTarget.valueAsNumber)}
      />
    );
  }
  if (type === "array") {
    const lines = Array.isArray(value) ? value.map(String) : [];
    return (
      <textarea
        {...common}
        rows={Math.max(2, lines.length)}
        spellcheck={false}
        value={lines.join("\n")}
        onChange={(event) => set(event.currentTarget.value.split("\n").map((line) => line.trim()).filter((line) => line !== ""))}
      />
    );
  }
  // What may be left out is left out when it is empty.
  const isNeeded = schema["default"] === undefined;
  return (
    <input
      {...common}
      type="text"
      spellcheck={false}
      autocomplete="off"
      value={value === null ? "" : String(value)}
      onInput={(event) => set(event.currentTarget.value === "" && !isNeeded ? null : event.currentTarget.value)}
    />
  );
}

/** A text with code between backticks. */
function Words(props: { text: string }): JSX.Element {
  return <>{props.text.split("`").map((part, index) => (index % 2 === 1 ? <code key={index}>{part}</code> : part))}</>;
}
