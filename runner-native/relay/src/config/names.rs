//! The names that a relay gives.

use serde::{Deserialize, Serialize};

/// Which names a relay gives beside those made of addresses.
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
#[cfg_attr(feature = "clap", derive(clap::Args), command(next_help_heading = "Names"))]
pub struct NameSettings {
    /// Whether agents of older systems are reached at `/t/<name>/` too, where all of them and the relay are one origin for
    /// browsers.
    #[cfg_attr(
        feature = "clap",
        arg(
            long,
            env = "HVYM_TUNNEL_PATH_NAMES",
            hide_env = true,
            help = "Lead /t/NAME/ to the agents of older systems too",
            long_help = "Lead /t/NAME/ to the agents of older systems too\n\n\
            For domains without a wildcard record. To a browser all of them and the relay are one website, so their \
            pages run in a sandbox, without cookies and storage.",
        )
    )]
    pub path_names: bool,
}
