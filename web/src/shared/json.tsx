/** JSON as a tree that folds. Long lists show their beginning until more is asked for. */
import type { JSX } from "preact";
import { useState } from "preact/hooks";

/** Members that are shown at once. */
const SHOWN = 100;
/** Levels that are open at first. */
const OPEN_LEVELS = 3;

type Value = null | boolean | number | string | Value[] | { [name: string]: Value };

export function parseJson(text: string): Value | undefined {
  const begin = text.trimStart()[0];
  if (begin !== "{" && begin !== "[") return undefined;
  try {
    return JSON.parse(text) as Value;
  } catch {
    return undefined;
  }
}

export function JsonTree(props: { value: Value }): JSX.Element {
  return <div class="json">{<Node value={props.value} level={0} />}</div>;
}

function Node(props: { name?: string; value: Value; level: number }): JSX.Element {
  const { name, value, level } = props;
  const [open, setOpen] = useState(level < OPEN_LEVELS);
  const [shown, setShown] = useState(SHOWN);
  const key = name === undefined ? null : <span class="json-key">{JSON.stringify(name)}: </span>;
  if (value === null || typeof value !== "object") {
    return (
      <div class="json-line">
        {key}
        <span class={`json-${value === null ? "null" : typeof value}`}>{JSON.stringify(value)}</span>
      </div>
    );
  }
  const isList = Array.isArray(value);
  const members: [string | undefined, Value][] = isList
    ? value.map((member) => [undefined, member])
    : Object.entries(value);
  const [left, right] = isList ? ["[", "]"] : ["{", "}"];
  if (members.length === 0) {
    return (
      <div class="json-line">
        {key}
        {left}
        {right}
      </div>
    );
  }
  return (
    <div class="json-line">
      <button type="button" class="json-fold" aria-expanded={open} onClick={() => setOpen(!open)}>
        {key}
        {left}
        {open ? "" : ` ${members.length} … ${right}`}
      </button>
      {open && (
        <>
          <div class="json-members">
            {members.slice(0, shown).map(([member, inner], at) => (
              <Node key={member ?? at} {...(member === undefined ? {} : { name: member })} value={inner} level={level + 1} />
            ))}
            {members.length > shown && (
              <button type="button" class="quiet" onClick={() => setShown(shown * 10)}>
                {members.length - shown} more
              </button>
            )}
          </div>
          {right}
        </>
      )}
    </div>
  );
}
