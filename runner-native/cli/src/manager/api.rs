//! The API of a manager that runs: started, and listening elsewhere when the settings say so, while links and services go on.

use hvym_tunnel_manager::TunnelManager;
use hvym_tunnel_manager::api::{ApiError, ApiHooks, ApiServer};
use hvym_tunnel_manager::settings::ApiSettings;
use hvym_tunnel_net::runtime::{RuntimeHandle, spawn};
use serde_json::json;

use crate::exit::ExitError;
use crate::output::write_out;
use crate::report::{Report, Reporter};

/// The API, or its absence.
pub(super) struct RunningApi {
    manager: TunnelManager,
    hooks: ApiHooks,
    reporter: Reporter,
    running: Option<(ApiSettings, ApiServer)>,
}

impl RunningApi {
    /// None yet.
    pub(super) fn new(manager: TunnelManager, hooks: ApiHooks, reporter: Reporter) -> Self {
        Self { manager, hooks, reporter, running: None }
    }

    /// Listens as `settings` say, and tells where.
    ///
    /// # Errors
    /// It cannot listen.
    pub(super) fn start(&mut self, settings: ApiSettings) -> Result<(), ExitError> {
        let server = self.serve(&settings)?;
        announce(&settings, &server, &self.reporter)?;
        self.running = Some((settings, server));
        Ok(())
    }

    /// Listens as other settings say. What cannot be is told, and leaves it as it was. Requests that are under way go on.
    pub(super) async fn change(&mut self, settings: Result<Option<ApiSettings>, ExitError>) {
        let settings = match settings {
            Ok(settings) => settings,
            Err(error) => return self.kept(&error),
        };
        let old = self.running.take();
        if let Some((_, server)) = &old {
            // Both may want the same place.
            server.stop_listening().await;
        }
        let started = settings.map_or(Ok(()), |settings| self.start(settings));
        if let Err(error) = started {
            self.kept(&error);
            let again = old.as_ref().map(|(settings, _)| self.start(settings.clone()));
            if let Some(Err(error)) = again {
                self.kept(&error);
            }
        }
        if let Some((_, server)) = old {
            spawn(server.shutdown()).detach();
        }
    }

    /// Ends it.
    pub(super) async fn stop(self) {
        if let Some((_, server)) = self.running {
            server.shutdown().await;
        }
    }

    fn serve(&self, settings: &ApiSettings) -> Result<ApiServer, ApiError> {
        ApiServer::start(settings, self.manager.clone(), self.hooks.clone(), &RuntimeHandle::current())
    }

    fn kept(&self, error: &ExitError) {
        self.reporter.tell(&Report::ConfigKept { message: format!("the API stays as it was: {error}") });
    }
}

/// Says where an API listens that is beside something else: not on the first line, which is for a URL.
///
/// # Errors
/// Nobody reads what is written.
pub(crate) fn announce_beside(
    settings: &ApiSettings,
    api: &ApiServer,
    reporter: &Reporter,
) -> Result<(), ExitError> {
    if reporter.is_json() {
        return announce(settings, api, reporter);
    }
    let at = api.addresses().iter().map(|address| format!("http://{address}"));
    reporter.note(&format!("API at {}", at.collect::<Vec<_>>().join(", ")));
    Ok(())
}

/// Says where the API listens.
fn announce(settings: &ApiSettings, api: &ApiServer, reporter: &Reporter) -> Result<(), ExitError> {
    let url = api.addresses().first().map(|address| {
        let scheme = if address.ip().is_loopback() { "http" } else { "https" };
        format!("{scheme}://{address}")
    });
    let socket = settings.socket.as_ref().map(|path| path.display().to_string());
    if reporter.is_json() {
        let token_file = settings.token_file.display().to_string();
        let event = json!({ "event": "api", "url": url, "socket": socket, "token_file": token_file });
        return write_out(format!("{event}\n").as_bytes());
    }
    match url.or(socket) {
        Some(place) => write_out(format!("{place}\n").as_bytes())?,
        None => return Ok(()),
    }
    reporter.note(&format!("to change anything there takes the token in {}", settings.token_file.display()));
    Ok(())
}
