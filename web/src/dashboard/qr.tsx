/** A URL as a QR code, for a phone. */
import { generate } from "lean-qr";
import type { JSX } from "preact";

import { CopyButton } from "../shared/copy";
import { Dialog } from "../shared/dialog";

/** Light modules around the code (ISO/IEC 18004 section 6.3.8). */
const QUIET = 4;

export function QrDialog(props: { url: string; onClose: () => void }): JSX.Element {
  const code = generate(compact(props.url));
  const size = code.size + 2 * QUIET;
  const modules: string[] = [];
  for (let y = 0; y < code.size; y += 1) {
    for (let x = 0; x < code.size; x += 1) {
      if (code.get(x, y)) modules.push(`M${x + QUIET} ${y + QUIET}h1v1h-1z`);
    }
  }
  return (
    <Dialog title="QR" onClose={props.onClose}>
      <svg class="qr" viewBox={`0 0 ${size} ${size}`} role="img" aria-label={`QR code of ${props.url}`} shape-rendering="crispEdges">
        <rect width={size} height={size} fill="#fff" />
        <path d={modules.join("")} fill="#000" />
      </svg>
      <p class="qr-url">
        <span class="mono">{props.url}</span> <CopyButton text={props.url} label="Copy" />
      </p>
    </Dialog>
  );
}

/**
 * In upper case a URL without a path has only characters of the alphanumeric mode, which makes the code smaller. Scheme and host
 * are case-insensitive (RFC 3986 section 6.2.2.1).
 */
function compact(url: string): string {
  return /^https?:\/\/[^/?#]+\/?$/.test(url) ? url.toUpperCase() : url;
}
