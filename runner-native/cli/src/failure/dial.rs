//! What to do when a relay is not reached, in the names of the options and commands that do it.

use hvym_tunnel_core::reason::DownReason;
use hvym_tunnel_net::dial_error::DialProblem;

/// What a person can do about the end of a link, or about a link that did not come to be.
pub(crate) fn link_hint(reason: &DownReason, problem: Option<&DialProblem>) -> Option<String> {
    problem.and_then(problem_hint).or_else(|| reason.hint().map(str::to_owned))
}

/// What a person can do about a link that did not come to be.
pub(crate) fn problem_hint(problem: &DialProblem) -> Option<String> {
    Some(match problem {
        DialProblem::Unresolved { host } => format!(
            "check its spelling and this machine's network; hvym-tunnel doctor --relay {host} looks closer"
        ),
        DialProblem::Refused { at } => {
            format!(
                "is the relay running, and is this its port? hvym-tunnel doctor --relay {at} looks closer"
            )
        }
        DialProblem::NotTls { at } => format!("without TLS it is --relay ws://{at}"),
        DialProblem::SpeaksTls { at } => format!("with TLS it is --relay wss://{at}"),
        DialProblem::Untrusted { host } => format!(
            "name the authority of its certificate with --relay-ca FILE; hvym-tunnel doctor --relay {host} shows it"
        ),
        DialProblem::NoCertificate { host } => format!(
            "a relay that has just begun may still be getting one for {host}: its own messages say what it waits for"
        ),
        DialProblem::NoRelay { status: 404, .. } => {
            "check the host, the port and the path: a relay's is usually /connect".to_owned()
        }
        DialProblem::NoRelay { at, .. } => format!(
            "check the host and the port; if there is a proxy in front of the relay, let it pass Upgrade and Connection on. \
             hvym-tunnel doctor --relay {at} looks closer"
        ),
        _ => return None,
    })
}
