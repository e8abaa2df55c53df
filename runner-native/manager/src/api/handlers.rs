//! What the API does: from a request that was let in to its response.

use std::sync::Arc;
use std::time::Duration;

use http::{Request, StatusCode};
use hvym_tunnel_agent::{ServiceName, ServiceSpec, Target};
use hvym_tunnel_core::access::Access;
use hvym_tunnel_core::stellar::Address;
use hvym_tunnel_net::exposition;
use hyper::body::Incoming;

use super::answer::{self, Answer};
use super::content::{read, read_required};
use super::routes::Operation;
use super::{ApiState, openapi, stored_settings, updates};
use crate::ManagerError;
use crate::alerts::AlertLimits;
use crate::manager::STOP_LIMIT;
use crate::settings::{ManagedService, ServiceProbe};
use crate::shapes::{DoneReport, LinkSelection, NewService, RequestsReport, ServicesReport, VersionReport};
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
        Operation::Services => {
            answer::json(StatusCode::OK, &ServicesReport { services: manager.status().services })
        }
        Operation::Bind => match read_required(request).await {
            Ok(service) => bind(state, service),
            Err(refusal) => refusal,
        },
        Operation::Unbind => unbind(state, parameter, request.uri().query()),
        Operation::Requests => answer::json(StatusCode::OK, &RequestsReport { requests: manager.requests() }),
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

fn bind(state: &ApiState, service: NewService) -> Answer {
    let name = service.name.clone();
    let link = service.link.clone();
    let service = match managed_service(service) {
        Ok(service) => service,
        Err(error) => return answer::error(StatusCode::BAD_REQUEST, error),
    };
    match state.manager.bind(link.as_deref(), service) {
        Ok(is_new) => {
            let status = if is_new { StatusCode::CREATED } else { StatusCode::OK };
            let message = format!("{name} is {}", if is_new { "added" } else { "replaced" });
            answer::json(status, &DoneReport { message, status: "success", timestamp: timestamp::now() })
        }
        // Its settings contradict each other, or the relay does not have what it needs.
        Err(ManagerError::Agent(error)) => answer::error(StatusCode::BAD_REQUEST, error.to_string()),
        Err(error) => answer::manager_error(&error),
    }
}

/// # Errors
/// What is wrong, for a person.
fn managed_service(service: NewService) -> Result<ManagedService, String> {
    let NewService { name, target, private, allow, probe, .. } = service;
    let name: ServiceName = name.parse().map_err(|error| format!("name: {error}"))?;
    let target: Target = target.parse().map_err(|error| format!("target: {error}"))?;
    if let Target::Folder(folder) = &target {
        // A relative one would be looked for where this process happens to run.
        if !folder.is_absolute() {
            return Err("target: a folder is given by its whole path".to_owned());
        }
    }
    let probe = match probe.as_deref() {
        None => ServiceProbe::for_target(&target),
        Some("tcp") => ServiceProbe::Tcp,
        Some("ollama") => ServiceProbe::Ollama,
        Some(path) if path.starts_with('/') && path.bytes().all(|byte| byte.is_ascii_graphic()) => {
            ServiceProbe::Http(path.to_owned())
        }
        Some(_) => return Err("probe: tcp, ollama, or a path that begins with /".to_owned()),
    };
    let mut spec = ServiceSpec::new(name, target);
    spec.access = match (private, allow) {
        (false, allow) if allow.is_empty() => Access::Public,
        (false, _) => return Err("allow: a public service is for everybody".to_owned()),
        (true, allow) => {
            let parsed: Result<Vec<Address>, _> = allow.iter().map(|address| address.parse()).collect();
            Access::Private(parsed.map_err(|error| format!("allow: {error}"))?.into_iter().collect())
        }
    };
    Ok(ManagedService { probe, ..ManagedService::new(spec) })
}

fn unbind(state: &ApiState, parameter: Option<&str>, query: Option<&str>) -> Answer {
    let name: Result<ServiceName, _> = parameter.unwrap_or_default().parse();
    let Ok(name) = name else { return answer::error(StatusCode::NOT_FOUND, "There is no such service") };
    let link = query.and_then(|query| query.split('&').find_map(|pair| pair.strip_prefix("link=")));
    match state.manager.unbind(link, &name) {
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
    let Some(store) = state.settings.clone() else {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn service(name: &str, target: &str) -> NewService {
        let (name, target) = (name.to_owned(), target.to_owned());
        NewService { name, target, link: None, private: false, allow: Vec::new(), probe: None }
    }

    #[test]
    fn a_service_is_understood_or_refused_with_the_member_that_is_wrong() {
        let ollama = managed_service(service("llm", "11434")).expect("a service");
        assert_eq!((ollama.probe, ollama.spec.access), (ServiceProbe::Ollama, Access::Public));
        let probed = NewService { probe: Some("/health".to_owned()), ..service("web", "3000") };
        assert_eq!(
            managed_service(probed).map(|service| service.probe),
            Ok(ServiceProbe::Http("/health".to_owned()))
        );
        let private = NewService { private: true, ..service("db", "tcp://db:5432") };
        assert!(managed_service(private.clone()).is_ok_and(|service| !service.spec.access.is_public()));
        for (wrong, member) in [
            (service("", "3000"), "name"),
            (service("web", "ftp://x"), "target"),
            (service("web", "./site"), "target"),
            (NewService { probe: Some("icmp".to_owned()), ..service("web", "3000") }, "probe"),
            (NewService { probe: Some("/a b".to_owned()), ..service("web", "3000") }, "probe"),
            (NewService { allow: vec!["G".to_owned()], ..private }, "allow"),
            (NewService { allow: vec!["G".to_owned()], ..service("web", "3000") }, "allow"),
        ] {
            let error = managed_service(wrong).expect_err(member);
            assert!(error.starts_with(&format!("{member}: ")), "{error}");
        }
    }
}
