//! The real program under load: what it holds in memory, and how long things take.

mod bottleneck;
mod flow;
mod loss;
mod many;
mod peak;
mod readers;
mod slow;
mod unread;
