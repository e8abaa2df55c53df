//! `completions`: a script by which a shell completes what is typed.

use clap_complete::Shell;

use crate::exit::ExitError;
use crate::output::write_out;

/// Prints the script for `shell`.
///
/// # Errors
/// Nobody reads.
pub(super) fn run(shell: Shell, command: &mut clap::Command) -> Result<(), ExitError> {
    let mut script = Vec::new();
    clap_complete::generate(shell, command, "hvym-tunnel", &mut script);
    let script = match shell {
        // The generator spells the name of the program in two ways, of which bash finds neither in the other.
        Shell::Bash => {
            String::from_utf8_lossy(&script).replace("hvym__subcmd__tunnel", "hvym__tunnel").into_bytes()
        }
        _ => script,
    };
    write_out(&script)
}
