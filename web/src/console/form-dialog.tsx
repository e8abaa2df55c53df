/** A form in a dialog, which sends it and says why that failed. Who asked for it closes it. */
import type { ComponentChildren, JSX } from "preact";
import { useState } from "preact/hooks";

import { Dialog } from "../shared/dialog";
import { told } from "./polled";

interface FormDialogProps {
  title: string;
  /** The words of the button that sends it, and whether what it does can be taken back. */
  action: string;
  tone: "primary" | "danger";
  /** It cannot be sent as it is. */
  disabled?: boolean;
  /** What is wrong already, before it is sent. */
  problem?: string | undefined;
  children: ComponentChildren;
  onClose: () => void;
  /** Sends it; the dialog stays, with the reason, if that fails. */
  act: () => Promise<unknown>;
}

export function FormDialog(props: FormDialogProps): JSX.Element {
  const [busy, setBusy] = useState(false);
  const [failed, setFailed] = useState<string | undefined>();
  const submit = (event: Event): void => {
    event.preventDefault();
    setBusy(true);
    setFailed(undefined);
    props.act().catch((error: Error) => {
      setBusy(false);
      setFailed(told(error));
    });
  };
  const mistake = failed ?? props.problem;
  return (
    <Dialog title={props.title} onClose={props.onClose}>
      <form class="question" onSubmit={submit}>
        {props.children}
        {mistake !== undefined && (
          <p class="mistake" role="alert">
            {mistake}
          </p>
        )}
        <div class="dialog-end">
          <button type="button" onClick={props.onClose}>
            Cancel
          </button>
          <button type="submit" class={props.tone} disabled={busy || props.disabled === true}>
            {props.action}
          </button>
        </div>
      </form>
    </Dialog>
  );
}
