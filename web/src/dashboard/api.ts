/** The manager's API, in its own shapes. */

export type Quality = "Excellent" | "Good" | "Poor" | "Critical";

export interface Connection {
  type: "ollama" | "cloud" | "http" | "tcp" | "relay";
  connected: boolean;
  state: string;
  endpoint: string;
  version: string | null;
  models: string[];
  latency: number;
  last_check: string | null;
  quality: Quality;
  error: string | null;
}

export interface Link {
  name: string;
  relay: string;
  relay_address: string | null;
  address: string;
  state: "disconnected" | "connecting" | "authenticating" | "connected" | "reconnecting" | "error";
  since: string;
  attempts: number;
  retry_in_ms: number | null;
  round_trip_ms: number | null;
  last_error: string | null;
}

export interface Service {
  name: string;
  link: string;
  target: string;
  url: string | null;
  port: number | null;
  public: boolean;
  allow: string[];
  requests: number;
  bytes_in: number;
  bytes_out: number;
}

export interface Status {
  tunnel_manager: { running: boolean; connecting: boolean; error: string | null };
  connections: Record<string, Connection>;
  best_connection: string | null;
  timestamp: string;
  links: Link[];
  services: Service[];
}

export interface Health {
  status: "healthy" | "degraded" | "unhealthy";
  uptime: number;
  version: string;
  score: number;
}

interface Percentiles {
  p50: number | null;
  p95: number | null;
  p99: number | null;
}

export interface Metrics {
  tunnel_metrics: {
    totalRequests: number;
    successfulRequests: number;
    failedRequests: number;
    requestsPerSecond: number;
    averageLatency: number;
    memoryUsageMB: number;
    cpuUsagePercent: number;
  };
  latency: Percentiles;
  throughput: { bytes_in_per_s: number; bytes_out_per_s: number };
  error_rate: number;
  uptime_percent: { "24h": number | null; "7d": number | null };
}

export interface Alert {
  id: number;
  kind: string;
  subject: string;
  message: string;
  raised_at: string;
  cleared_at: string | null;
  acknowledged: boolean;
}

export type Range = "1h" | "24h" | "7d";

/** What happened in one step. */
export interface Step {
  /** When it began. */
  at: string;
  requests: number;
  errors: number;
  requests_per_second: number;
  bytes_in: number;
  bytes_out: number;
  /** Milliseconds. */
  p50: number | null;
  p95: number | null;
  p99: number | null;
}

export interface History {
  /** Length of one step. */
  interval_seconds: number;
  /** The oldest first; the last one is not over. */
  points: Step[];
  timestamp: string;
}

/** One thing that is wrong with settings. */
export interface Mistake {
  key: string;
  line: number | null;
  message: string;
}

export class ApiError extends Error {
  constructor(
    message: string,
    readonly status: number,
    readonly mistakes: Mistake[] = [],
  ) {
    super(message);
  }
}

const KEPT = "hvym-tunnel-token";

/** The token of the API: from the fragment of the URL that the program prints, and then kept for this tab alone. */
export function token(): string | undefined {
  const given = new URLSearchParams(location.hash.slice(1)).get("token");
  if (given !== null && given !== "") {
    setToken(given);
    // So that it is in no history and no screenshot.
    window.history.replaceState(null, "", location.pathname);
  }
  return sessionStorage.getItem(KEPT) ?? undefined;
}

export function forgetToken(): void {
  sessionStorage.removeItem(KEPT);
}

export function setToken(text: string): void {
  sessionStorage.setItem(KEPT, text.trim());
}

/** Whether the page came from afar, by a relay that let its owner in: no token is needed then, and less may be done. */
export const access = { remote: false };

async function ask(method: string, path: string, body?: unknown): Promise<Response> {
  const init: RequestInit = { method };
  const shown = token();
  const headers: Record<string, string> = {};
  if (shown !== undefined) headers["Authorization"] = `Bearer ${shown}`;
  if (body !== undefined) {
    headers["Content-Type"] = "application/json";
    init.body = JSON.stringify(body);
  }
  init.headers = headers;
  let response: Response;
  try {
    response = await fetch(path, init);
  } catch {
    throw new ApiError("The program does not answer. Has it ended?", 0);
  }
  access.remote = response.headers.get("Hvym-Tunnel-Access") === "owner";
  if (!response.ok) {
    const said = (await response.json().catch(() => ({}))) as { error?: string; message?: string; mistakes?: Mistake[] };
    throw new ApiError(said.message ?? said.error ?? `The answer was ${response.status}.`, response.status, said.mistakes);
  }
  return response;
}

async function value<T>(path: string): Promise<T> {
  return (await (await ask("GET", path)).json()) as T;
}

export const status = (): Promise<Status> => value<Status>("/api/status");
export const health = (): Promise<Health> => value<Health>("/api/health");
export const metrics = (): Promise<Metrics> => value<Metrics>("/api/metrics");

export const history = (range: Range): Promise<History> => value<History>(`/api/v1/history?range=${range}`);

export async function alerts(): Promise<{ active: Alert[]; history: Alert[] }> {
  return value<{ active: Alert[]; history: Alert[] }>("/api/v1/alerts");
}

export async function control(action: "start" | "stop" | "restart", name?: string): Promise<void> {
  await ask("POST", `/api/tunnel/${action}`, name === undefined ? {} : { name });
}

export async function checkNow(): Promise<void> {
  await ask("POST", "/api/v1/checks");
}

export async function clearAlerts(): Promise<void> {
  await ask("DELETE", "/api/v1/alerts");
}

export async function acknowledge(id: number): Promise<void> {
  await ask("POST", `/api/v1/alerts/${id}/ack`);
}

export type Json = null | boolean | number | string | Json[] | { [name: string]: Json };
export type Section = { [name: string]: Json };

/** The settings file: sections by their names, and the lists `link` and `service`. */
export interface Settings {
  file: string;
  exists: boolean;
  settings: { [name: string]: Json };
  overrides: Record<string, { origin: string; value: string }>;
  backups: string[];
}

const SETTINGS = "/api/v1/settings";

export const settings = (): Promise<Settings> => value<Settings>(SETTINGS);
export const settingsSchema = (): Promise<Section> => value<Section>(`${SETTINGS}/schema`);

export async function saveSettings(changes: Section): Promise<Settings> {
  return (await (await ask("PUT", SETTINGS, changes)).json()) as Settings;
}

export async function exportSettings(withSecrets: boolean): Promise<Blob> {
  return (await ask("GET", `${SETTINGS}/export${withSecrets ? "?with_secrets=true" : ""}`)).blob();
}

export async function importSettings(text: string): Promise<{ warnings: string[]; next_steps: string[] }> {
  return (await (await ask("POST", `${SETTINGS}/import`, { text })).json()) as { warnings: string[]; next_steps: string[] };
}

export async function backUpSettings(): Promise<string> {
  return ((await (await ask("POST", `${SETTINGS}/backup`)).json()) as { path: string }).path;
}

export async function resetSettings(): Promise<Settings> {
  return (await (await ask("POST", `${SETTINGS}/reset`, { confirm: true })).json()) as Settings;
}
