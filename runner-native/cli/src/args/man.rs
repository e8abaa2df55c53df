//! `man`: the manual pages of the program.

use std::path::PathBuf;

use clap::Args;

use crate::exit::{Exit, ExitError};
use crate::output::write_out;

/// Print the manual page of the program, or write those of all commands into a folder
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
    hvym-tunnel man | man -l -
    hvym-tunnel man ~/.local/share/man/man1      then: man hvym-tunnel-expose")]
pub(crate) struct ManArgs {
    /// A folder, which must exist; the pages in it are replaced
    folder: Option<PathBuf>,
}

/// Prints or writes them.
///
/// # Errors
/// Nobody reads, or the folder takes no file.
pub(super) fn run(arguments: &ManArgs, command: clap::Command) -> Result<(), ExitError> {
    let Some(folder) = &arguments.folder else {
        let mut page = Vec::new();
        let written = clap_mangen::Man::new(command).render(&mut page);
        return written
            .map_err(|error| ExitError::new(Exit::Unexpected, error.to_string()))
            .and_then(|()| write_out(&page));
    };
    clap_mangen::generate_to(command, folder).map_err(|error| {
        ExitError::new(Exit::Config, format!("cannot write to {}: {error}", folder.display()))
    })
}
