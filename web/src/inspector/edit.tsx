/** Edits a request before it is sent again. A mask in a secret field means the value that was captured. */
import type { JSX } from "preact";
import { useEffect, useState } from "preact/hooks";

import { Dialog } from "../shared/dialog";
import { body, type Detail, type Edit, replay } from "./api";

export function EditDialog(props: { detail: Detail; onClose: () => void; onSent: (id: number) => void }): JSX.Element {
  const { detail } = props;
  const [method, setMethod] = useState(detail.method);
  const [target, setTarget] = useState(detail.target);
  const [headers, setHeaders] = useState(detail.request.headers.map((field) => `${field.name}: ${field.value}`).join("\n"));
  const [text, setText] = useState<string | undefined>(detail.request.body.kept ? undefined : "");
  const [edited, setEdited] = useState(false);
  const [failed, setFailed] = useState<string | undefined>();
  useEffect(() => {
    if (!detail.request.body.kept) return;
    body(detail.id, "request").then(
      (bytes) => {
        try {
          setText(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
        } catch {
          setText(undefined);
        }
      },
      (error: Error) => setFailed(error.message),
    );
  }, [detail.id]);
  const send = (event: Event): void => {
    event.preventDefault();
    const edit: Edit = { method: method.trim(), target: target.trim(), headers: fields(headers) };
    // What was not touched is sent as it came, whatever its bytes are.
    if (edited && text !== undefined) edit.body = text;
    replay(detail.id, edit).then(props.onSent, (error: Error) => setFailed(error.message));
  };
  return (
    <Dialog title="Edit and send again" onClose={props.onClose}>
      <form class="edit" onSubmit={send}>
        <div class="edit-line">
          <label>
            Method
            <input value={method} size={8} autocomplete="off" spellcheck={false} onInput={(event) => setMethod(event.currentTarget.value)} />
          </label>
          <label class="grow">
            Target
            <input autofocus value={target} autocomplete="off" spellcheck={false} onInput={(event) => setTarget(event.currentTarget.value)} />
          </label>
        </div>
        <label>
          Header fields
          <textarea rows={9} value={headers} spellcheck={false} onInput={(event) => setHeaders(event.currentTarget.value)} />
        </label>
        {text === undefined ? (
          <p class="hint">The body is no text, and is sent as it came.</p>
        ) : (
          <label>
            Body
            <textarea
              rows={7}
              value={text}
              spellcheck={false}
              onInput={(event) => {
                setText(event.currentTarget.value);
                setEdited(true);
              }}
            />
          </label>
        )}
        <p class="hint">The length of the body is set by itself.</p>
        {failed !== undefined && (
          <p class="notice" role="alert">
            {failed}
          </p>
        )}
        <div class="edit-end">
          <button type="submit" class="primary">
            Send
          </button>
        </div>
      </form>
    </Dialog>
  );
}

function fields(text: string): [string, string][] {
  const lines = text.split("\n").filter((line) => line.trim() !== "");
  return lines.map((line) => {
    const at = line.indexOf(":");
    return at < 0 ? [line.trim(), ""] : [line.slice(0, at).trim(), line.slice(at + 1).trim()];
  });
}
