//! What commands answer on standard output.

use std::io::{self, Write as _};

use crate::exit::{Exit, ExitError};

/// Writes a command's whole answer to standard output.
pub(crate) fn write_out(answer: &[u8]) -> Result<(), ExitError> {
    let mut out = io::stdout().lock();
    out.write_all(answer).and_then(|()| out.flush()).map_err(|error| {
        ExitError::new(Exit::Unexpected, format!("cannot write to standard output: {error}"))
    })
}
