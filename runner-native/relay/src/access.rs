//! Which identities may be agents of this relay now: its lists, and the bans of its operator.

mod bans;
mod lists;

pub(crate) use bans::{BanError, Bans};
pub(crate) use lists::AgentLists;
