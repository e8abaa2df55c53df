/** Where a person gives the token of the API, which is then kept for this tab alone. */
import type { JSX } from "preact";
import { useState } from "preact/hooks";

import * as api from "./api";

export function Unlock(props: { wrong: boolean; onDone: () => void }): JSX.Element {
  const [text, setText] = useState("");
  return (
    <form
      class="unlock"
      onSubmit={(event) => {
        event.preventDefault();
        api.setToken(text);
        props.onDone();
      }}
    >
      <label>
        The token of the API lets you change something and see alerts, history and settings. It is in the file that the program names at its start.
        <input type="password" autocomplete="off" value={text} aria-describedby={props.wrong ? "token-wrong" : undefined} onInput={(event) => setText(event.currentTarget.value)} />
      </label>
      <button type="submit">Use it</button>
      {props.wrong && (
        <p id="token-wrong" class="mistake" role="alert">
          That is not the token of this program.
        </p>
      )}
    </form>
  );
}
