/** A question before something is done that cannot be taken back, perhaps with a reason that others are told. */
import type { ComponentChildren, JSX } from "preact";
import { useState } from "preact/hooks";

import { FormDialog } from "./form-dialog";

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
  return (
    <FormDialog title={props.title} action={props.action} tone="danger" onClose={props.onClose} act={() => props.act(reason).then(props.onClose)}>
      {props.children}
      {props.reason === true && (
        <label class="question-field">
          Reason, which they are told
          <input value={reason} maxLength={MAX_REASON} onInput={(event) => setReason(event.currentTarget.value)} />
        </label>
      )}
    </FormDialog>
  );
}
