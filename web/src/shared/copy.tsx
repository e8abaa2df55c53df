/** Copies text, and says so for a moment. */
import type { JSX } from "preact";
import { useEffect, useState } from "preact/hooks";

export async function copyText(text: string): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return false;
  }
}

/** `name` says to a screen reader what is copied, where the label alone does not. */
export function CopyButton(props: { text: string; label: string; name?: string }): JSX.Element {
  const [copied, setCopied] = useState<boolean | undefined>();
  useEffect(() => {
    if (copied === undefined) return;
    const timer = setTimeout(() => setCopied(undefined), 1200);
    return () => clearTimeout(timer);
  }, [copied]);
  const said = copied === undefined ? props.label : copied ? "Copied" : "Not allowed";
  return (
    <button type="button" class="quiet copy" aria-label={copied === undefined ? props.name : undefined} onClick={() => void copyText(props.text).then(setCopied)}>
      <span aria-live="polite">{said}</span>
    </button>
  );
}
