//! The relay's side: one [`Session`] for each accepted link, and the [`Directory`] that finds it by name.

mod directory;
mod session;

pub use directory::{Directory, Name, NameError};
pub use session::{BindRefusal, Session, SessionConfig, SessionEvent};
