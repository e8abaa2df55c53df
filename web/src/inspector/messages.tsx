/** Events of an event stream, or messages of a WebSocket, as they come. */
import type { JSX } from "preact";
import { useEffect, useState } from "preact/hooks";

import { duration, size } from "../shared/format";
import { JsonTree, parseJson } from "../shared/json";
import { type Detail, type Message, messages } from "./api";

export function Messages(props: { detail: Detail }): JSX.Element {
  const { detail } = props;
  const [known, setKnown] = useState<Message[]>([]);
  const [total, setTotal] = useState(0);
  const [open, setOpen] = useState<number | undefined>();
  useEffect(() => setKnown([]), [detail.id]);
  useEffect(() => {
    let current = true;
    const last = known[known.length - 1];
    messages(detail.id, last?.number).then(
      (loaded) => {
        if (!current) return;
        setTotal(loaded.total);
        if (loaded.messages.length > 0) setKnown((before) => [...before, ...loaded.messages].slice(-1000));
      },
      () => undefined,
    );
    return () => {
      current = false;
    };
  }, [detail.id, detail.messages]);
  if (known.length === 0) return <p class="hint">No messages yet.</p>;
  const dropped = total - known.length;
  return (
    <>
      {dropped > 0 && <p class="notice">The {dropped} oldest are not kept.</p>}
      <ol class="messages">
        {known.map((message) => (
          <li key={message.number}>
            <button type="button" class="message" aria-expanded={open === message.number} onClick={() => setOpen(open === message.number ? undefined : message.number)}>
              <span class={`arrow ${message.sender}`} role="img" aria-label={`from the ${message.sender}`}>
                {message.sender === "visitor" ? "↑" : "↓"}
              </span>
              <span class="kind">{message.name ?? message.kind}</span>
              <span class="said">{message.text === undefined ? `${size(message.length)}, no text` : message.text.slice(0, 300)}</span>
              <span class="time">{duration(message.at_ms)}</span>
            </button>
            {open === message.number && <Whole message={message} />}
          </li>
        ))}
      </ol>
    </>
  );
}

function Whole(props: { message: Message }): JSX.Element {
  const { text, base64, length } = props.message;
  const json = text === undefined ? undefined : parseJson(text);
  return (
    <div class="message-body">
      <p class="hint">{size(length)}</p>
      {json !== undefined ? <JsonTree value={json} /> : <pre tabIndex={0}>{text ?? base64}</pre>}
    </div>
  );
}
