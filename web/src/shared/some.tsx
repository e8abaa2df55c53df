/** The beginning of a long list, and the rest when it is asked for. */
import type { ComponentChildren, JSX } from "preact";
import { useState } from "preact/hooks";

/** Rows that are shown at once: more than a screen, and fast on a slow machine. */
const SHOWN = 50;

export function Some<T>(props: { of: T[]; what: string; children: (one: T) => ComponentChildren }): JSX.Element {
  const [all, setAll] = useState(false);
  const rest = props.of.length - SHOWN;
  return (
    <>
      {(all ? props.of : props.of.slice(0, SHOWN)).map(props.children)}
      {rest > 0 && !all && (
        <button type="button" class="quiet more" onClick={() => setAll(true)}>
          {rest} more {props.what}
        </button>
      )}
    </>
  );
}
