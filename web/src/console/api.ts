/** The relay's APIs for operators and owners, by the session of this browser. Times are seconds since 1970. */

const BASE = "/console/api";
/** Where the relay tells what changes. */
export const EVENTS = `${BASE}/events`;

/** What it tells of that it has changed. */
export type List = "agents" | "tunnels" | "audit";

export interface Session {
  signed_in: boolean;
  /** Nothing for whoever has the operator's key. */
  identity: string | null;
  /** An owner is told of the agents of that identity alone; nothing for whoever is not signed in. */
  role: "operator" | "owner" | null;
  /** For how many seconds yet, at most. */
  seconds: number;
  by_key: boolean;
  domain: string;
  /** Its address. */
  relay: string;
  /** Whether the relay has a database of tunnels. */
  has_tunnels: boolean;
}

export interface Status {
  version: string;
  address: string;
  domain: string;
  url: string;
  started: number;
  draining: boolean;
  agents: number;
  sessions: number;
  connections: number;
  requests: number;
  pending_requests: number;
  failed_requests: number;
}

/** What happened in one interval. */
export interface Point {
  /** Its end. */
  at: number;
  agents: number;
  connections: number;
  requests: number;
  failed_requests: number;
  refused_logins: number;
  bytes_in: number;
  bytes_out: number;
}

export interface History {
  interval_seconds: number;
  /** The oldest first. */
  points: Point[];
}

export interface Agent {
  agent: string;
  system: string;
  since: number;
  sessions: number;
  services: string[];
  url: string;
}

export interface AgentSession {
  id: number;
  agent: string;
  key: string | null;
  system: string;
  version: string | null;
  from: string;
  since: number;
  silent_seconds: number;
  services: string[];
  links: number;
  streams: number;
  round_trip_ms: number | null;
  requests: number;
  failed_requests: number;
  average_ms: number;
  bytes_in: number;
  bytes_out: number;
}

export interface Service {
  agent: string;
  service: string;
  protocol: "http" | "h2" | "tcp";
  public: boolean;
  url: string | null;
  sessions: number;
}

export interface Name {
  name: string;
  origin: "claimed" | "configured";
  agent: string | null;
  connected: boolean;
}

/** In the shape of Tunely's tools; texts of times are UTC without a zone. */
export interface Tunnel {
  domain: string;
  name: string | null;
  description: string | null;
  mode: string;
  enabled: boolean;
  bytes_in: number;
  bytes_out: number;
  connected: boolean;
  created_at: string;
  last_connected_at: string | null;
  total_requests: number;
  client_version: string | null;
}

export interface LoggedRequest {
  id: number;
  timestamp: string;
  method: string;
  path: string;
  request_headers: string | null;
  request_body: string | null;
  status_code: number | null;
  response_headers: string | null;
  response_body: string | null;
  error: string | null;
  duration_ms: number;
}

/** A request to a service of an identity. */
export interface OwnRequest {
  at: number;
  service: string | null;
  method: string;
  path: string;
  status: number | null;
  duration_ms: number;
  error: string | null;
}

export interface OwnRequests {
  total: number;
  /** Of the whole log. */
  services: string[];
  /** The newest first. */
  requests: OwnRequest[];
}

export interface Ban {
  subject: string;
  until?: number;
  reason: string;
}

export interface AuditRecord {
  at: number;
  action: string;
  agent: string | null;
  peer: string | null;
  detail: string;
  suppressed: number;
}

/** A change of a tunnel. */
export interface Change {
  id: number;
  created_at: string;
  action: string;
  domain: string | null;
  detail: string | null;
  source_ip: string | null;
}

/** One of the relays of the domain. */
export interface Relay {
  node: string | null;
  url: string;
  address: string;
  own: boolean;
  linked: boolean;
  agents: string[];
}

export interface Relays {
  /** Whether what they share can be reached; nothing where there is one relay alone. */
  store_available: boolean | null;
  relays: Relay[];
}

export interface Limit {
  max: number | null;
  used: number | null;
}

export type Json = null | boolean | number | string | Json[] | { [name: string]: Json };

export class ApiError extends Error {
  constructor(
    message: string,
    readonly status: number,
  ) {
    super(message);
  }
}

/** What the relay says of a request that it did not do: in its own words, or in those of Tunely's relay. */
async function reason(response: Response): Promise<string> {
  const said = (await response.json().catch(() => ({}))) as { error?: string; detail?: string | { msg: string }[] };
  const detail = typeof said.detail === "string" ? said.detail : said.detail?.map((one) => one.msg).join(", ");
  return said.error ?? detail ?? `The answer was ${response.status}.`;
}

async function ask(method: string, path: string, body?: unknown, fields: Record<string, string> = {}): Promise<Response> {
  const init: RequestInit = { method, headers: fields, cache: "no-store" };
  if (body !== undefined) {
    init.headers = { ...fields, "Content-Type": "application/json" };
    init.body = JSON.stringify(body);
  }
  let response: Response;
  try {
    response = await fetch(BASE + path, init);
  } catch {
    throw new ApiError("The relay does not answer.", 0);
  }
  if (response.ok) return response;
  if (response.status === 429) throw new ApiError(`Too many wrong keys came from your network: wait ${response.headers.get("Retry-After") ?? "some"} s.`, 429);
  throw new ApiError(await reason(response), response.status);
}

async function value<T>(path: string): Promise<T> {
  return (await (await ask("GET", path)).json()) as T;
}

async function send<T>(method: string, path: string, body?: unknown): Promise<T> {
  return (await (await ask(method, path, body)).json()) as T;
}

export const session = (): Promise<Session> => value<Session>("/session");

export async function signInByKey(key: string): Promise<void> {
  await ask("POST", "/session", undefined, { Authorization: `Bearer ${key.trim()}` });
}

export const challenge = async (): Promise<string> => (await send<{ text: string }>("POST", "/challenge")).text;

export async function signInBySignature(signed: { text: string; address: string; signature: string }): Promise<void> {
  await ask("POST", "/session", signed);
}

export async function signOut(): Promise<void> {
  await ask("DELETE", "/session");
}

export const status = (): Promise<Status> => value<Status>("/v1/status");
export const history = (): Promise<History> => value<History>("/v1/history");
export const agents = async (): Promise<Agent[]> => (await value<{ agents: Agent[] }>("/v1/agents")).agents;
export const sessions = async (): Promise<AgentSession[]> => (await value<{ sessions: AgentSession[] }>("/v1/sessions")).sessions;
export const services = async (): Promise<Service[]> => (await value<{ services: Service[] }>("/v1/services")).services;
export const relays = (): Promise<Relays> => value<Relays>("/v1/relays");
export const names = async (): Promise<Name[]> => (await value<{ names: Name[] }>("/v1/names")).names;
export function ownRequests(agent: string, service: string, limit: number, offset: number): Promise<OwnRequests> {
  const wanted = service === "" ? "" : `&service=${encodeURIComponent(service)}`;
  return value(`/v1/requests?agent=${encodeURIComponent(agent)}${wanted}&limit=${limit}&offset=${offset}`);
}
export const bans = async (): Promise<Ban[]> => (await value<{ bans: Ban[] }>("/v1/bans")).bans;
export const audit = async (): Promise<AuditRecord[]> => (await value<{ records: AuditRecord[] }>("/v1/audit")).records;
export const limits = async (): Promise<Record<string, Limit>> => (await value<{ limits: Record<string, Limit> }>("/v1/limits")).limits;
export const config = async (): Promise<Record<string, Json>> => (await value<{ options: Record<string, Json> }>("/v1/config")).options;

export async function kick(whom: { agent: string } | { session: number }, why: string): Promise<void> {
  await ask("POST", "/v1/kicks", { ...whom, reason: why });
}

export async function ban(subject: string, seconds: number | undefined, why: string): Promise<number> {
  const body = seconds === undefined ? { subject, reason: why } : { subject, seconds, reason: why };
  return (await send<{ ended: number }>("POST", "/v1/bans", body)).ended;
}

export async function unban(subject: string): Promise<void> {
  await ask("DELETE", `/v1/bans/${encodeURIComponent(subject)}`);
}

export const reload = async (): Promise<string> => (await send<{ done: string }>("POST", "/v1/reload")).done;
export const drain = async (): Promise<string> => (await send<{ done: string }>("POST", "/v1/drain", {})).done;

const of = (domain: string): string => `/tunnels/${encodeURIComponent(domain)}`;

export const tunnels = (): Promise<Tunnel[]> => value<Tunnel[]>("/tunnels");
export const changes = (): Promise<Change[]> => value<Change[]>("/audit?limit=200");

export async function availability(name: string): Promise<string | undefined> {
  const said = await value<{ available: boolean; reason: string | null }>(`/tunnels/check-availability?name=${encodeURIComponent(name)}`);
  return said.available ? undefined : (said.reason ?? "This name is not free.");
}

export const createTunnel = (tunnel: { domain: string; name?: string; description?: string }): Promise<{ domain: string; token: string }> => send("POST", "/tunnels", tunnel);

export async function updateTunnel(domain: string, change: { name?: string; description?: string; enabled?: boolean; log_requests?: boolean }): Promise<void> {
  await ask("PUT", of(domain), change);
}

export const rotateToken = (domain: string): Promise<{ domain: string; token: string }> => send("POST", `${of(domain)}/regenerate-token`);

export async function deleteTunnel(domain: string): Promise<void> {
  await ask("DELETE", of(domain));
}

export const requests = (domain: string, limit: number, offset: number): Promise<{ total: number; logs: LoggedRequest[] }> => value(`${of(domain)}/logs?limit=${limit}&offset=${offset}`);
