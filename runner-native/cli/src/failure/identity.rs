//! Errors of identities and tokens.

use hvym_tunnel_agent::token::AuthTokenError;
use hvym_tunnel_net::config::NoHome;
use hvym_tunnel_net::external_signer::SignerError;
use hvym_tunnel_net::key::KeyError;
use hvym_tunnel_net::sealed::SealedError;
use hvym_tunnel_net::secret::SecretError;

use crate::exit::{Exit, ExitError};
use crate::passphrase;

impl From<NoHome> for ExitError {
    fn from(error: NoHome) -> ExitError {
        ExitError::new(Exit::Config, error.to_string()).with_hint("name the file with --identity")
    }
}

impl From<KeyError> for ExitError {
    fn from(error: KeyError) -> ExitError {
        if let KeyError::NoPlace(error) = error {
            return error.into();
        }
        let exit = match error {
            KeyError::Terminal => Exit::Usage,
            KeyError::Exists { .. } => Exit::Config,
            KeyError::NoRandomness => Exit::Unexpected,
            _ => Exit::Refused,
        };
        let failure = ExitError::new(exit, error.to_string());
        match hint(&error) {
            Some(hint) => failure.with_hint(hint),
            None => failure,
        }
    }
}

fn hint(error: &KeyError) -> Option<String> {
    match error {
        KeyError::NotFound { path } => {
            Some(format!("create one: hvym-tunnel identity new --identity {path}"))
        }
        KeyError::TooOpen { path, .. } => Some(format!("close it: chmod 600 {path}")),
        KeyError::NotSecret { .. } => {
            Some("a wallet shows the secret as \"secret key\" or \"secret seed\"".to_owned())
        }
        KeyError::Terminal => Some("pipe it in, or use a file: ... < secret.txt".to_owned()),
        KeyError::Sealed { error, .. } => sealed_hint(error),
        KeyError::Elsewhere => Some("leave out --signer: it signs logins and tokens".to_owned()),
        KeyError::Exists { .. } => Some("--force replaces it, and keeps it in a file beside it".to_owned()),
        _ => None,
    }
}

fn sealed_hint(error: &SealedError) -> Option<String> {
    match error {
        SealedError::Passphrase(error) => passphrase::hint(error),
        SealedError::Damaged => {
            Some("bring it back from a copy; there is no way around the passphrase".to_owned())
        }
        _ => None,
    }
}

impl From<SecretError> for ExitError {
    fn from(error: SecretError) -> ExitError {
        let failure = ExitError::new(Exit::Refused, error.to_string());
        match &error {
            SecretError::Sealed { error, .. } => match sealed_hint(error) {
                Some(hint) => failure.with_hint(hint),
                None => failure,
            },
            _ => failure,
        }
    }
}

impl From<SignerError> for ExitError {
    fn from(error: SignerError) -> ExitError {
        let hint = match &error {
            SignerError::Unreachable(_) => "start it, or correct --signer or --signer-command",
            SignerError::Refused(_) | SignerError::TimedOut => "start this again, and agree to the signature",
            SignerError::OtherKey(_) => "choose that account in the signer",
            _ => "docs/SIGNER.md says what it must answer",
        };
        ExitError::new(Exit::Refused, error.to_string()).with_hint(hint)
    }
}

impl From<AuthTokenError> for ExitError {
    fn from(error: AuthTokenError) -> ExitError {
        let failure = ExitError::new(Exit::Refused, error.to_string());
        match error {
            AuthTokenError::NotToken { .. } => {
                failure.with_hint("copy it as its server's operator gave it to you")
            }
            AuthTokenError::File(error) => error.into(),
        }
    }
}
