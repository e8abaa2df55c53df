//! The relay's side: one [`Session`] for each agent, the [`Directory`] that finds it by name,
//! the [`Ports`] by which services that are not HTTP are found, and the [`OwnNames`] by which agents dial.

mod agent_list;
mod bans;
mod bindings;
mod directory;
mod own_names;
mod owner;
mod ports;
mod reach;
mod reach_rate;
mod session;

pub use agent_list::{AgentList, AgentListError, AgentRule, AgentRuleError, MAX_LISTED_AGENTS};
pub use bans::{Ban, BanTable, BansFull, MAX_BAN_REASON_CHARACTERS, MAX_BANS};
pub use bindings::{
    AdmitError, Admitted, MAX_SESSIONS_OF_ONE, Newcomer, SUCCESSOR_LIMIT, Serving, least_loaded,
};
pub use directory::{Directory, Name, NameError};
pub use own_names::OwnNames;
pub use owner::Owner;
pub use ports::{MAX_PORTS_OF_ONE, PORT_HOLD, PortError, PortQuota, Ports};
pub use reach::{CALLER_STREAMS, OWNER_STREAMS, ReachError, ReachLimits};
pub use reach_rate::{REACH_INTERVAL, ReachRate};
pub use session::{BindRefusal, LinkId, RevokeRefusal, Session, SessionConfig, SessionEvent};
