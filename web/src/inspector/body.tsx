/** A body as a person can read it: a tree, fields of a form, text, a picture, or bytes. */
import type { JSX } from "preact";
import { useEffect, useState } from "preact/hooks";

import { CopyButton } from "../shared/copy";
import { mediaType, size } from "../shared/format";
import { JsonTree, parseJson } from "../shared/json";
import { body, bodyPath, type Detail } from "./api";

/** Bytes of something that is no text. */
const HEX_BYTES = 2048;
/** A browser wraps and paints so much text without a pause. */
const TEXT_CHARS = 200_000;

export function BodyView(props: { detail: Detail; side: "request" | "response" }): JSX.Element | null {
  const { detail, side } = props;
  const part = side === "request" ? detail.request : detail.response;
  const [bytes, setBytes] = useState<Uint8Array | undefined>();
  const [failed, setFailed] = useState<string | undefined>();
  const [raw, setRaw] = useState(false);
  const length = part?.body.length ?? 0;
  const kept = part?.body.kept ?? false;
  useEffect(() => {
    setBytes(undefined);
    setFailed(undefined);
    if (!kept) return;
    let current = true;
    body(detail.id, side).then(
      (loaded) => current && setBytes(loaded),
      (error: Error) => current && setFailed(error.message),
    );
    return () => {
      current = false;
    };
  }, [detail.id, side, kept, length]);
  if (part === undefined) return null;
  if (!kept) {
    if (length === 0) return <p class="hint">No body.</p>;
    return <p class="hint">{size(length)}, shown as messages.</p>;
  }
  const type = mediaType(part.headers.find((field) => field.name.toLowerCase() === "content-type")?.value);
  const cut = part.body.whole ? null : <p class="notice">Only the beginning is kept: {size(part.body.length)} in all.</p>;
  if (failed !== undefined) return <p class="notice">The body cannot be shown: {failed}</p>;
  if (bytes === undefined) return <p class="hint">Loading…</p>;
  if (side === "response" && type.startsWith("image/") && part.body.whole) {
    return <img class="picture" src={bodyPath(detail.id, side)} alt={`The response, ${type}`} />;
  }
  const text = asText(bytes);
  const json = text === undefined || text.length > TEXT_CHARS * 5 ? undefined : parseJson(text);
  const form = type === "application/x-www-form-urlencoded" && text !== undefined ? [...new URLSearchParams(text)] : undefined;
  const hasForm = json !== undefined || form !== undefined;
  return (
    <div class="body">
      <div class="body-bar">
        <span class="hint">
          {type === "" ? "no type" : type} · {size(bytes.length)}
        </span>
        {hasForm && (
          <button type="button" class="quiet" aria-pressed={raw} onClick={() => setRaw(!raw)}>
            Raw
          </button>
        )}
        {text !== undefined && <CopyButton text={text} label="Copy" />}
      </div>
      {cut}
      {json !== undefined && !raw ? (
        <JsonTree value={json} />
      ) : form !== undefined && !raw ? (
        <table class="fields">
          <tbody>
            {form.map(([name, value], at) => (
              <tr key={at}>
                <th scope="row">{name}</th>
                <td>{value}</td>
              </tr>
            ))}
          </tbody>
        </table>
      ) : (
        <pre tabIndex={0}>{text === undefined ? hex(bytes) : text.slice(0, TEXT_CHARS)}</pre>
      )}
      {text !== undefined && text.length > TEXT_CHARS && json === undefined && <p class="notice">The rest is not shown here. Copy has all of it.</p>}
    </div>
  );
}

function asText(bytes: Uint8Array): string | undefined {
  try {
    const text = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
    return text.includes("\0") ? undefined : text;
  } catch {
    return undefined;
  }
}

function hex(bytes: Uint8Array): string {
  const lines: string[] = [];
  for (let at = 0; at < Math.min(bytes.length, HEX_BYTES); at += 16) {
    const row = [...bytes.subarray(at, at + 16)];
    const digits = row.map((byte) => byte.toString(16).padStart(2, "0")).join(" ");
    const letters = row.map((byte) => (byte >= 0x20 && byte < 0x7f ? String.fromCharCode(byte) : "·")).join("");
    lines.push(`${at.toString(16).padStart(6, "0")}  ${digits.padEnd(47)}  ${letters}`);
  }
  if (bytes.length > HEX_BYTES) lines.push(`… ${size(bytes.length - HEX_BYTES)} more`);
  return lines.join("\n");
}
