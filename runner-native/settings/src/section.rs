//! The tables of the settings file that stand in it once: the control API, health, alerts, logs, windows, start, limits.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::number::{Decimal, PortNumber, Whole};

/// The control API, where other programs of this machine see and change what runs.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ApiSection {
    /// Whether there is one.
    pub enabled: bool,
    /// The addresses to listen at. Any that is not of this machine alone needs `tls_cert` and `tls_key`.
    #[schemars(schema_with = "crate::schema::ip_addresses")]
    pub listen: Vec<IpAddr>,
    /// The port; that of CloudToLocalLLM's Tunnel Manager, whose tools ask there.
    pub port: PortNumber<8765>,
    /// The host names that a request may name beside localhost, 127.0.0.1 and `[::1]`. Others are refused: a page whose name
    /// leads to this machine (DNS rebinding) comes with its own.
    pub allowed_hosts: Vec<String>,
    /// The origins whose pages may ask; `*` stands for a port.
    #[schemars(schema_with = "crate::schema::origins")]
    #[serde(deserialize_with = "crate::schema::read_origins")]
    pub allowed_origins: Vec<String>,
    /// Whether programs of this machine may read without the token. To change something always needs it.
    pub local_read: bool,
    /// The file of the token, made at the first start. Without it `api.token` in the folder of the state.
    pub token_file: Option<PathBuf>,
    /// A certificate chain (PEM) for other machines.
    pub tls_cert: Option<PathBuf>,
    /// Its private key (PEM).
    pub tls_key: Option<PathBuf>,
    /// Whether the dashboard is offered as the private service `manager`, for the identity of each link alone.
    pub remote: bool,
    /// Whether there is `/metrics` for Prometheus.
    pub metrics: bool,
    /// Seconds between two `metrics_update` messages of `/ws`. More often than every second tells nobody more.
    pub metrics_interval: Whole<1, 60, 5>,
}

impl Default for ApiSection {
    fn default() -> Self {
        let origins = ["http://localhost:*", "https://app.cloudtolocalllm.online"];
        Self {
            enabled: true,
            listen: vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()],
            port: PortNumber::default(),
            allowed_hosts: Vec::new(),
            allowed_origins: origins.map(str::to_owned).into(),
            local_read: true,
            token_file: None,
            tls_cert: None,
            tls_key: None,
            remote: false,
            metrics: true,
            metrics_interval: Whole::default(),
        }
    }
}

/// How the services and links are looked after.
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct HealthSection {
    /// Seconds between two checks. Fewer than 5 would be work for nothing, more than 300 would hide an outage.
    pub interval: Whole<5, 300, 30>,
    /// Seconds that a check may take.
    pub timeout: Decimal<1000, 300_000, 30_000>,
    /// How many checks in a row must fail before a service counts as failed.
    pub max_retries: Whole<1, 100, 5>,
    /// Seconds before a check that failed is repeated.
    pub retry_delay: Decimal<1000, 300_000, 2000>,
}

/// When somebody is told.
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct AlertSection {
    /// Milliseconds of a check beyond which a service is slow.
    pub max_latency_ms: Whole<1, 600_000, 5000>,
    /// Percents of requests that may fail.
    pub max_error_rate: Decimal<0, 100_000, 10_000>,
    /// Checks in a row that may fail.
    pub max_consecutive_failures: Whole<1, 1000, 5>,
    /// Megabytes that this program may use.
    pub max_memory_mb: Whole<1, 1_000_000, 100>,
    /// Percents of one core that this program may use; of several cores there are more than 100.
    pub max_cpu_percent: Decimal<1000, 100_000_000, 80_000>,
    /// Where to post an alert as JSON.
    #[schemars(schema_with = "crate::schema::optional_http_url")]
    #[serde(deserialize_with = "crate::schema::read_http_url")]
    pub on_alert_url: Option<String>,
    /// The program to run for an alert, and its arguments; the alert is its standard input, as JSON.
    #[schemars(schema_with = "crate::schema::optional_command")]
    #[serde(deserialize_with = "crate::schema::read_command")]
    pub on_alert_command: Option<Vec<String>>,
    /// Whether a link that an alert is about is dialled anew.
    pub reconnect: bool,
}

/// How much is logged.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    /// Decisions too.
    Debug,
    /// Connections too.
    #[default]
    Info,
    /// What may be wrong.
    Warn,
    /// What is wrong.
    Error,
}

/// How it is written.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// The log files.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct LogSection {
    /// How much is logged.
    pub level: LogLevel,
    /// How it is written.
    pub format: LogFormat,
    /// The folder of the files. Without it that of the state.
    pub folder: Option<PathBuf>,
    /// The file of links, services and requests.
    #[schemars(schema_with = "crate::schema::file_name")]
    #[serde(deserialize_with = "crate::schema::read_file_name")]
    pub agent_file: String,
    /// The file of the control API.
    #[schemars(schema_with = "crate::schema::file_name")]
    #[serde(deserialize_with = "crate::schema::read_file_name")]
    pub api_file: String,
    /// Megabytes of a file before the next one is begun.
    pub max_size_mb: Whole<1, 1024, 10>,
    /// How many full files are kept of each.
    pub max_files: Whole<1, 100, 5>,
}

impl Default for LogSection {
    fn default() -> Self {
        Self {
            level: LogLevel::default(),
            format: LogFormat::default(),
            folder: None,
            agent_file: "agent.log".to_owned(),
            api_file: "api.log".to_owned(),
            max_size_mb: Whole::default(),
            max_files: Whole::default(),
        }
    }
}

/// What a person sees: in a program with windows, which asks for it by the control API, and on the desktop.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct UiSection {
    /// Whether its window becomes an icon when it is closed.
    pub minimize_to_tray: bool,
    /// Whether it starts as one.
    pub start_minimized: bool,
    /// Whether the desktop shows that links are connected or lost, and alerts.
    pub show_notifications: bool,
}

impl Default for UiSection {
    fn default() -> Self {
        Self { minimize_to_tray: true, start_minimized: false, show_notifications: true }
    }
}

/// What starts by itself.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct StartSection {
    /// Whether links connect when the program starts. A link with `auto_connect = false` waits all the same.
    pub auto_start_tunnel: bool,
    /// Whether the program starts with the machine, for whoever installs it as a service.
    pub auto_start_on_boot: bool,
}

impl Default for StartSection {
    fn default() -> Self {
        Self { auto_start_tunnel: true, auto_start_on_boot: false }
    }
}

/// How much at once.
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct LimitSection {
    /// Connections for checks and hooks at once.
    pub connection_pool_size: Whole<1, 1000, 10>,
    /// Seconds that a request of checks and hooks may take.
    pub request_timeout: Decimal<5000, 86_400_000, 60_000>,
}
