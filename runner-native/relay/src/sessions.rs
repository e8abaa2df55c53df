//! Agents' sessions: what visitors may do with one, the table of all, and the TCP ports of their services. Knows no
//! socket.

mod agent_session;
mod port_table;
mod succession;
mod table;

pub(crate) use agent_session::{AgentSession, Wanted};
pub(crate) use port_table::PortTable;
pub(crate) use table::{HostTarget, NameClaim, SessionKey, SessionTable};
