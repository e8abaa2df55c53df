/** The settings as a person finds them: sections and fields, with the words of the Tunnel Manager. */

export interface Field {
  /** The key in its section or entry. */
  key: string;
  label: string;
  unit?: string;
  /** Said in place of the description of the schema. */
  help?: string;
}

export interface Group {
  /** A section of the file. */
  section: string;
  title?: string;
  fields: Field[];
}

export const API_SERVER: Group[] = [
  {
    section: "api",
    fields: [
      { key: "enabled", label: "Enable API server", help: "Without it this page is gone too." },
      { key: "port", label: "Port" },
      { key: "allowed_origins", label: "Allowed origins" },
      { key: "local_read", label: "Read without the token" },
      { key: "remote", label: "Offer this page to yourself, from anywhere" },
      { key: "metrics", label: "Enable metrics" },
      { key: "metrics_interval", label: "Metrics interval", unit: "s" },
    ],
  },
];

export const MONITORING: Group[] = [
  {
    section: "health",
    title: "Health checks",
    fields: [
      { key: "interval", label: "Health check interval", unit: "s" },
      { key: "timeout", label: "Connection timeout", unit: "s" },
      { key: "max_retries", label: "Max retries" },
      { key: "retry_delay", label: "Retry delay", unit: "s" },
    ],
  },
  {
    section: "alerts",
    title: "Alerts",
    fields: [
      { key: "max_latency_ms", label: "Max latency", unit: "ms" },
      { key: "max_error_rate", label: "Max error rate", unit: "%" },
      { key: "max_consecutive_failures", label: "Max consecutive failures" },
      { key: "max_memory_mb", label: "Max memory", unit: "MB" },
      { key: "max_cpu_percent", label: "Max CPU", unit: "%" },
      { key: "on_alert_url", label: "Post alerts to" },
      { key: "reconnect", label: "Reconnect on an alert" },
    ],
  },
];

export const UI_AND_SYSTEM: Group[] = [
  {
    section: "start",
    title: "Start",
    fields: [
      { key: "auto_start_tunnel", label: "Auto-start tunnel" },
      { key: "auto_start_on_boot", label: "Auto-start on boot" },
    ],
  },
  {
    section: "ui",
    title: "Windows",
    fields: [
      { key: "minimize_to_tray", label: "Minimize to tray" },
      { key: "start_minimized", label: "Start minimized" },
      { key: "show_notifications", label: "Show notifications" },
    ],
  },
  {
    section: "log",
    title: "Logs",
    fields: [
      { key: "level", label: "Log level" },
      { key: "format", label: "Log format" },
    ],
  },
];

export const ADVANCED: Group[] = [
  {
    section: "limits",
    fields: [
      { key: "connection_pool_size", label: "Connection pool size" },
      { key: "request_timeout", label: "Request timeout", unit: "s" },
    ],
  },
];

export const LINK_FIELDS: Field[] = [
  { key: "enabled", label: "Enable", help: "Whether it is used at all." },
  { key: "relay", label: "Relay" },
  { key: "audience", label: "Audience" },
  { key: "auto_connect", label: "Auto-connect" },
  { key: "reconnect_delay", label: "Reconnect delay", unit: "s" },
  { key: "max_reconnect_delay", label: "Max reconnect delay", unit: "s" },
];

export const OLLAMA_FIELDS: Field[] = [
  { key: "enabled", label: "Enable local Ollama", help: "Whether it is offered." },
  { key: "target", label: "Host and port", help: "Where Ollama listens, as in `http://localhost:11434`." },
  { key: "public", label: "Public" },
];
