//! `version`: which program this is, for a person and for whoever helps.

use clap::Args;
use hvym_tunnel_core::dialect::{MUX_YAMUX, VERSION};
use serde::Serialize;

use crate::exit::ExitError;
use crate::output::write_out;

/// Say which program this is: version, commit, compiler, protocols
#[derive(Args, Debug)]
pub(crate) struct VersionArgs {
    /// Write one JSON object instead of text
    #[arg(long, env = "HVYM_TUNNEL_JSON", hide_env = true)]
    json: bool,
}

/// The wire languages that agents may speak.
#[derive(Serialize)]
struct Protocols {
    /// Ours.
    native: u32,
    /// Its multiplexer.
    mux: &'static str,
    /// Those of older systems.
    compat: [&'static str; 3],
}

#[derive(Serialize)]
struct Version {
    version: &'static str,
    /// A debug build is of none.
    #[serde(skip_serializing_if = "Option::is_none")]
    commit: Option<&'static str>,
    /// Seconds of the Unix epoch.
    #[serde(skip_serializing_if = "Option::is_none")]
    built: Option<u64>,
    rustc: &'static str,
    target: &'static str,
    /// What this build has that others may lack.
    features: Vec<&'static str>,
    protocols: Protocols,
}

impl Version {
    fn own() -> Self {
        let features = [
            (cfg!(unix), "control-socket"),
            (cfg!(unix), "terminal-keys"),
            (cfg!(debug_assertions), "debug"),
        ];
        Self {
            version: env!("CARGO_PKG_VERSION"),
            commit: Some(env!("HVYM_TUNNEL_BUILD_COMMIT")).filter(|commit| !commit.is_empty()),
            built: env!("HVYM_TUNNEL_BUILD_TIME").parse().ok(),
            rustc: env!("HVYM_TUNNEL_BUILD_RUSTC"),
            target: env!("HVYM_TUNNEL_BUILD_TARGET"),
            features: features.into_iter().filter_map(|(has, name)| has.then_some(name)).collect(),
            protocols: Protocols { native: VERSION, mux: MUX_YAMUX, compat: ["hvym", "tunely", "cloud"] },
        }
    }
}

/// Prints it.
///
/// # Errors
/// Nobody reads.
pub(super) fn run(arguments: &VersionArgs) -> Result<(), ExitError> {
    let version = Version::own();
    if arguments.json {
        let text = serde_json::to_string(&version).expect("numbers and texts always have a JSON form");
        return write_out(format!("{text}\n").as_bytes());
    }
    let mut text = format!("hvym-tunnel {}\n", version.version);
    let Version { commit, rustc, target, features, protocols, .. } = version;
    let native = format!("version {} over {}", protocols.native, protocols.mux);
    let (features, compat) = (features.join(", "), protocols.compat.join(", "));
    let commit = commit.unwrap_or("none (a debug build)");
    for (name, value) in [
        ("commit", commit),
        ("rustc", rustc),
        ("target", target),
        ("features", &features),
        ("protocol", &native),
        ("agents of", &compat),
    ] {
        text.push_str(&format!("{name:<10} {value}\n"));
    }
    write_out(text.as_bytes())
}
