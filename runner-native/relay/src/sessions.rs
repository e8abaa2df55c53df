//! Agents' sessions: what visitors may do with one, the table of all, and the TCP ports of their services. Knows no
//! socket.

mod agent_session;
mod assignment;
mod hold;
mod own;
mod port_table;
mod service_target;
mod table;
mod waiters;

pub(crate) use agent_session::{AgentSession, Wanted};
pub(crate) use hold::{HeldFor, Hold};
pub(crate) use port_table::PortTable;
pub(crate) use service_target::{Assigned, Destination, HostTarget, ServiceTarget};
pub(crate) use table::{SessionKey, SessionTable};
