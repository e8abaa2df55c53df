//! Agents' sessions: what visitors may do with one, and the table of all. Knows no socket.

mod agent_session;
mod table;

pub(crate) use agent_session::AgentSession;
pub(crate) use table::{HostTarget, NameClaim, SessionKey, SessionTable};
