//! Errors of delegations and of their list.

use hvym_tunnel_agent::DelegationFileError;
use hvym_tunnel_core::stellar::delegation::{DelegationError, ShareLinkError};

use crate::delegations::DelegationListError;
use crate::exit::{Exit, ExitError};

impl From<DelegationError> for ExitError {
    fn from(error: DelegationError) -> ExitError {
        let failure = ExitError::new(Exit::Config, error.to_string());
        match error {
            DelegationError::Forged(_) => failure
                .with_hint("sign the text itself, with nothing after its last character, by the owner's key"),
            _ => failure,
        }
    }
}

impl From<DelegationFileError> for ExitError {
    fn from(error: DelegationFileError) -> ExitError {
        match error {
            DelegationFileError::Refused(DelegationError::WrongKey(key)) => {
                let text = format!("the delegation is for the key {key}, which is not the identity here");
                ExitError::new(Exit::Config, text).with_hint("name the file of that key with --identity")
            }
            DelegationFileError::Refused(error) => error.into(),
            other => ExitError::new(Exit::Config, other.to_string())
                .with_hint("--delegation names a file that hvym-tunnel identity delegate has written"),
        }
    }
}

impl From<ShareLinkError> for ExitError {
    fn from(error: ShareLinkError) -> ExitError {
        ExitError::new(Exit::Config, error.to_string()).with_hint("copy the whole link, and quote it")
    }
}

impl From<DelegationListError> for ExitError {
    fn from(error: DelegationListError) -> ExitError {
        ExitError::new(Exit::Config, error.to_string())
    }
}
