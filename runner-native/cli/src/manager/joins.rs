//! What a manager tells a program that has joined it: the reports that the program would have by itself, as lines of JSON.

use std::io;
use std::sync::Arc;

use hvym_tunnel_agent::AgentEvent;
use hvym_tunnel_core::stellar::Address;
use hvym_tunnel_manager::api::Narrate;
use hvym_tunnel_net::observer::Observer;

use crate::agent_reports::{AgentKind, AgentReports, Subject};
use crate::report::{Report, Reporter, Style};

/// Reports what happens to the services of one program.
struct JoinReports {
    reporter: Reporter,
    reports: AgentReports,
    /// Whether it has one service, whose end is that of the program.
    is_only: bool,
}

impl Observer<AgentEvent> for JoinReports {
    fn handle_event(&self, event: &AgentEvent) {
        self.reports.handle_event(event);
        // Of an agent with one service its end says it, and this agent goes on.
        if let AgentEvent::ServiceRefused { service, code, message } = event
            && self.is_only
        {
            let (service, code, message) = (service.clone(), code.clone(), message.clone());
            self.reporter.tell(&Report::BindFailed { service, code, message });
        }
    }
}

/// Makes the observer of a program that joins.
pub(super) fn narrate() -> Narrate {
    Arc::new(|request, relay, lines| {
        let style = Style { json: true, ..Style::default() };
        let Ok(reporter) = Reporter::new(style, lines, io::sink()) else {
            tracing::error!("the system has no thread for a program that joins");
            return Arc::new(());
        };
        let services: Vec<_> = request.services.iter().map(|service| service.name.clone()).collect();
        let is_only = services.len() == 1;
        let purpose = match &request.forward {
            Some(forward) => AgentKind::Forward { service: forward.to.clone() },
            None => AgentKind::Expose { services, compat: None },
        };
        let subject = Subject {
            // It was checked before anything is told.
            address: request.address.parse().unwrap_or(Address::from_public_key([0; 32])),
            relay: relay.to_owned(),
            purpose,
        };
        let reports = AgentReports::new(reporter.clone(), subject);
        Arc::new(JoinReports { reporter, reports, is_only })
    })
}
