//! Who may use this relay now: the lists of agents, and the bans of its operator.

mod bans;
mod lists;
mod network_bans;

pub(crate) use bans::{BanError, Bans};
pub(crate) use lists::AgentLists;
pub(crate) use network_bans::NetworkBans;
