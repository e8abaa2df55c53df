//! Where a relay keeps its state, and where its operator talks to it.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// The name of the control socket in the state folder.
pub const CONTROL_SOCKET: &str = "control.sock";

/// Where a relay keeps what outlives its process, and where its operator talks to it.
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
#[cfg_attr(feature = "clap", derive(clap::Args), command(next_help_heading = "State and control"))]
pub struct StateSettings {
    /// The folder for what outlives the process. `None`: nothing does.
    #[cfg_attr(
        feature = "clap",
        arg(
            long,
            value_name = "FOLDER",
            env = "HVYM_TUNNEL_STATE_DIR",
            hide_env = true,
            help = "Keep bans and whatever else lasts in this folder; without it, in the folder relay of your settings",
        )
    )]
    pub state_dir: Option<PathBuf>,
    /// The Unix socket for commands of the operator. `None`: [`CONTROL_SOCKET`] in the state folder if there is one, and if a socket can
    /// be there.
    #[cfg_attr(
        feature = "clap",
        arg(
            long,
            value_name = "FILE",
            env = "HVYM_TUNNEL_CONTROL",
            hide_env = true,
            help = "Take commands of hvym-tunnel admin at this Unix socket; without it, at control.sock in the state folder",
        )
    )]
    pub control: Option<PathBuf>,
}
