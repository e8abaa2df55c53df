//! What a relay of a cluster does beside serving: it tells the others what its agents serve, hears what theirs do, keeps a link to each of
//! them, and passes their streams on to its agents.

mod dialer;
mod forwarded;
mod recorded_domains;
mod run;

pub(crate) use run::join;
