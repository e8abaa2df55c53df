//! What the API does: from a request that was let in to its response.

use std::sync::Arc;
use std::time::Duration;

use http::{Request, StatusCode};
use hvym_tunnel_agent::ServiceName;
use hvym_tunnel_net::exposition;
use hyper::body::Incoming;

use super::answer::{self, Answer};
use super::content::{read, read_required};
use super::query::parameter_of;
use super::routes::Operation;
use super::{ApiState, join, openapi, stored_settings, updates};
use crate::ManagerError;
use crate::alerts::AlertLimits;
use crate::manager::STOP_LIMIT;
use crate::shapes::{
    DoneReport, HistoryRange, LinkSelection, NewService, RequestsReport, ServicesReport, VersionReport,
};
use crate::timestamp;

/// How long a drain waits for what is under way.
const DRAIN_LIMIT: Duration = Duration::from_secs(60);

/// Does what a request asks for.
pub(super) async fn run(
    state: &Arc<ApiState>,
    operation: Operation,
    parameter: Option<&str>,
    request: Request<Incoming>,
) -> Answer {
    let manager = &state.manager;
    let is_reading = matches!(operation, Operation::Status | Operation::Connections | Operation::Metrics);
    if is_reading && !manager.is_configured() {
        return answer::manager_error(&ManagerError::NoLinks);
    }
    match operation {
        Operation::Health => answer::json(StatusCode::OK, &manager.health()),
        Operation::Status => answer::json(StatusCode::OK, &manager.status()),
        Operation::Connections => answer::json(StatusCode::OK, &manager.connections()),
        Operation::Metrics => answer::json(StatusCode::OK, &manager.metrics(state.counts.report())),
        Operation::Version => answer::json(StatusCode::OK, &version()),
        Operation::Start | Operation::Stop | Operation::Restart | Operation::Drain => {
            control(state, operation, request).await
        }
        _ => run_own(state, operation, parameter, request).await,
    }
}

/// The same for what the Tunnel Manager does not have.
async fn run_own(
    state: &Arc<ApiState>,
    operation: Operation,
    parameter: Option<&str>,
    request: Request<Incoming>,
) -> Answer {
    let manager = &state.manager;
    match operation {
        Operation::Services => {
            answer::json(StatusCode::OK, &ServicesReport { services: manager.status().services })
        }
        Operation::Bind => match read_required(request).await {
            Ok(service) => bind(state, service).await,
            Err(refusal) => refusal,
        },
        Operation::Join => match read_required(request).await {
            Ok(request) => join::join(state, &request),
            Err(refusal) => refusal,
        },
        Operation::Unbind => unbind(state, parameter, request.uri().query()).await,
        Operation::Requests => answer::json(StatusCode::OK, &RequestsReport { requests: manager.requests() }),
        Operation::History => history(state, request.uri().query()),
        Operation::ForgetEndpoints => {
            answer::done(format!("{} endpoints forgotten", manager.forget_endpoints()))
        }
        Operation::Alerts => answer::json(StatusCode::OK, &manager.alerts()),
        Operation::ClearAlerts => answer::done(format!("{} alerts forgotten", manager.clear_alerts())),
        Operation::Acknowledge => acknowledge(state, parameter),
        Operation::AlertLimits => answer::json(StatusCode::OK, &manager.alert_limits()),
        Operation::SetAlertLimits => match read_required(request).await {
            Ok(limits) => set_limits(state, limits),
            Err(refusal) => refusal,
        },
        Operation::Check => {
            manager.check_now();
            answer::done("Every connection is checked now")
        }
        Operation::Reload => reload(state).await,
        Operation::ReadSettings
        | Operation::ChangeSettings
        | Operation::SettingsSchema
        | Operation::ExportSettings
        | Operation::ImportSettings
        | Operation::BackUpSettings
        | Operation::ResetSettings => stored_settings::run(state, operation, request).await,
        Operation::Events => updates::events(state),
        Operation::Description => answer::json(StatusCode::OK, &openapi::document()),
        Operation::Prometheus if !state.has_metrics => {
            answer::error(StatusCode::NOT_FOUND, "Endpoint not found")
        }
        Operation::Prometheus => {
            answer::content(StatusCode::OK, exposition::CONTENT_TYPE, manager.prometheus())
        }
        Operation::Live => updates::upgrade(state, request),
        _ => answer::error(StatusCode::NOT_FOUND, "Endpoint not found"),
    }
}

/// Starts and stops links.
async fn control(state: &ApiState, operation: Operation, request: Request<Incoming>) -> Answer {
    let selection: LinkSelection = match read(request).await {
        Ok(selection) => selection.unwrap_or_default(),
        Err(refusal) => return refusal,
    };
    let (manager, name) = (&state.manager, selection.name.as_deref());
    let (outcome, message) = match operation {
        Operation::Start => (manager.start_links(name).await, "Tunnel start initiated"),
        Operation::Restart => (manager.restart_links(name).await, "Tunnel restarted"),
        Operation::Drain => (manager.stop_links(name, DRAIN_LIMIT).await, "Tunnel drained"),
        _ => (manager.stop_links(name, STOP_LIMIT).await, "Tunnel stopped"),
    };
    match outcome {
        Ok(_) => answer::done(message),
        Err(error) => answer::manager_error(&error),
    }
}

async fn bind(state: &ApiState, service: NewService) -> Answer {
    match state.manager.add_service(&service).await {
        Ok(is_new) => {
            let status = if is_new { StatusCode::CREATED } else { StatusCode::OK };
            let message = format!("{} is {}", service.name, if is_new { "added" } else { "replaced" });
            answer::json(status, &DoneReport { message, status: "success", timestamp: timestamp::now() })
        }
        // Its settings contradict each other, or the relay does not have what it needs.
        Err(ManagerError::Agent(error)) => answer::error(StatusCode::BAD_REQUEST, error.to_string()),
        Err(error) => answer::manager_error(&error),
    }
}

fn history(state: &ApiState, query: Option<&str>) -> Answer {
    match parameter_of(query, "range").map_or(Some(HistoryRange::Hour), HistoryRange::parse) {
        Some(range) => answer::json(StatusCode::OK, &state.manager.history(range)),
        None => {
            let names = HistoryRange::ALL.map(HistoryRange::name).join(", ");
            answer::error(StatusCode::BAD_REQUEST, format!("range: one of {names}"))
        }
    }
}

async fn unbind(state: &ApiState, parameter: Option<&str>, query: Option<&str>) -> Answer {
    let name: Result<ServiceName, _> = parameter.unwrap_or_default().parse();
    let Ok(name) = name else { return answer::error(StatusCode::NOT_FOUND, "There is no such service") };
    match state.manager.remove_service(parameter_of(query, "link"), &name).await {
        Ok(()) => answer::done(format!("{name} is removed")),
        Err(error) => answer::manager_error(&error),
    }
}

fn acknowledge(state: &ApiState, parameter: Option<&str>) -> Answer {
    let id = parameter.and_then(|id| id.parse().ok());
    match id.is_some_and(|id| state.manager.acknowledge_alert(id)) {
        true => answer::done("It is acknowledged"),
        false => answer::error(StatusCode::NOT_FOUND, "No alert of this number holds"),
    }
}

fn set_limits(state: &ApiState, limits: AlertLimits) -> Answer {
    match limits.check() {
        Ok(()) => {
            state.manager.set_alert_limits(limits);
            answer::json(StatusCode::OK, &limits)
        }
        Err(error) => answer::error(StatusCode::BAD_REQUEST, error.to_string()),
    }
}

async fn reload(state: &ApiState) -> Answer {
    let Some(store) = state.hooks.settings.clone() else {
        return answer::error(StatusCode::CONFLICT, "There is no settings file to read again");
    };
    match smol::unblock(move || store.reload()).await {
        Ok(message) => answer::done(message),
        Err(error) => answer::error(StatusCode::BAD_REQUEST, error),
    }
}

fn version() -> VersionReport {
    VersionReport {
        tunnel_manager: env!("CARGO_PKG_VERSION").to_owned(),
        api_version: "1.0",
        build: 1,
        commit: option_env!("HVYM_TUNNEL_COMMIT"),
        built_at: option_env!("HVYM_TUNNEL_BUILT_AT"),
        protocol_versions: vec![hvym_tunnel_core::dialect::VERSION],
        compatible: [("main_app", "3.2.0"), ("tunnel_manager", "1.0.0"), ("ollama", "0.9.0")].into(),
        timestamp: timestamp::now(),
    }
}
