/** A question before something is done that cannot be taken back, perhaps with a reason that others are told. */
import type { ComponentChildren, JSX } from "preact";
import { useState } from "preact/hooks";

import { Dialog } from "../shared/dialog";
import { told } from "./polled";

/** Characters of a reason, as the relay cuts it. */
const MAX_REASON = 100;

interface QuestionProps {
  title: string;
  /** The words of the button that does it. */
  action: string;
  /** Whether a reason is asked for. */
  reason?: boolean;
  children: ComponentChildren;
  onClose: () => void;
  /** Does it; the dialog closes when it is done. */
  act: (reason: string) => Promise<unknown>;
}

export function Question(props: QuestionProps): JSX.Element {
  const [reason, setReason] = useState("");
  const [busy, setBusy] = useState(false);
  const [failed, setFailed] = useState<string | undefined>();
  const submit = (event: Event): void => {
    event.preventDefault();
    setBusy(true);
    props.act(reason).then(props.onClose, (error: Error) => {
      setBusy(false);
      setFailed(told(error));
    });
  };
  return (
    <Dialog title={props.title} onClose={props.onClose}>
      <form class="question" onSubmit={submit}>
        {props.children}
        {props.reason === true && (
          <label class="question-field">
            Reason, which they are told
            <input value={reason} maxLength={MAX_REASON} onInput={(event) => setReason(event.currentTarget.value)} />
          </label>
        )}
        {failed !== undefined && (
          <p class="mistake" role="alert">
            {failed}
          </p>
        )}
        <div class="dialog-end">
          <button type="button" onClick={props.onClose}>
            Cancel
          </button>
          <button type="submit" class="danger" disabled={busy}>
            {props.action}
          </button>
        </div>
      </form>
    </Dialog>
  );
}
