/** What the inspector's server says and does. The shapes are those of its API. */

export interface Summary {
  id: number;
  service: string;
  from?: string;
  replay_of?: number;
  started_ms: number;
  method: string;
  target: string;
  status?: number;
  kind: "http" | "events" | "websocket" | "upgraded";
  progress: "open" | "complete" | "broken";
  duration_ms?: number;
  request_bytes: number;
  response_bytes: number;
  messages: number;
  media_type?: string;
}

export interface Field {
  name: string;
  value: string;
  masked?: boolean;
}

export interface MessageHead {
  version: string;
  reason?: string;
  headers: Field[];
  body: { length: number; whole: boolean; kept: boolean };
}

export interface Detail extends Summary {
  url: string;
  timing: { request_ms?: number; response_ms?: number; end_ms?: number };
  request: MessageHead;
  response?: MessageHead;
  replayable: boolean;
}

export interface Message {
  number: number;
  at_ms: number;
  sender: "visitor" | "service";
  kind: "text" | "binary" | "ping" | "pong" | "close" | "event";
  name?: string;
  length: number;
  text?: string;
  base64?: string;
}

export interface Status {
  open: boolean;
  services: { service: string; target: string; url: string | null }[];
  private: boolean;
  dropped: number;
  skipped: number;
  version: string;
  limits: { requests: number; body_bytes: number; held_bytes: number };
}

export interface Edit {
  method?: string;
  target?: string;
  headers?: [string, string][];
  body?: string;
}

/** The server's own words for what went wrong. */
export class ApiError extends Error {}

async function ask(path: string, init: RequestInit = {}): Promise<Response> {
  let response: Response;
  try {
    response = await fetch(path, init);
  } catch {
    throw new ApiError("The tunnel's program does not answer. Has it ended?");
  }
  if (!response.ok) {
    const said = (await response.json().catch(() => ({}))) as { error?: string };
    throw new ApiError(said.error ?? `The answer was ${response.status}.`);
  }
  return response;
}

/** The token that only this page can read. It changes when the program is started again. */
async function authorized(path: string, init: RequestInit = {}): Promise<Response> {
  const session = (await (await ask("/api/session")).json()) as { token: string };
  return ask(path, { ...init, headers: { Authorization: `Bearer ${session.token}` } });
}

export async function detail(id: number, reveal: boolean): Promise<Detail> {
  const response = reveal ? await authorized(`/api/requests/${id}?reveal`) : await ask(`/api/requests/${id}`);
  return (await response.json()) as Detail;
}

export async function messages(id: number, after: number | undefined): Promise<{ total: number; messages: Message[] }> {
  const query = after === undefined ? "" : `?after=${after}`;
  return (await (await ask(`/api/requests/${id}/messages${query}`)).json()) as { total: number; messages: Message[] };
}

export function bodyPath(id: number, side: "request" | "response"): string {
  return `/api/requests/${id}/${side}/body`;
}

/** A body without its content coding, which the browser takes off. */
export async function body(id: number, side: "request" | "response"): Promise<Uint8Array> {
  return new Uint8Array(await (await ask(bodyPath(id, side))).arrayBuffer());
}

export async function curl(id: number, reveal: boolean): Promise<string> {
  const path = `/api/requests/${id}/curl`;
  return (reveal ? await authorized(`${path}?reveal`) : await ask(path)).text();
}

export async function har(reveal: boolean): Promise<Blob> {
  return (reveal ? await authorized("/api/har?reveal") : await ask("/api/har")).blob();
}

export async function replay(id: number, edit?: Edit): Promise<number> {
  const init: RequestInit = { method: "POST" };
  if (edit !== undefined) init.body = JSON.stringify(edit);
  const sent = (await (await authorized(`/api/requests/${id}/replay`, init)).json()) as { id: number };
  return sent.id;
}

export async function clear(): Promise<void> {
  await authorized("/api/requests", { method: "DELETE" });
}
