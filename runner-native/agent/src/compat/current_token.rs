//! The token that is shown to a server of an older system, read again from its file before each dial.

use std::sync::{Arc, Mutex, PoisonError};

use hvym_tunnel_compat::TokenLogin;
use hvym_tunnel_core::agent::LoginFactory;
use hvym_tunnel_core::dialect::Service;
use hvym_tunnel_core::handshake::Login;
use hvym_tunnel_core::time::Instant;

use crate::settings::CompatSystem;
use crate::token::{AuthToken, TokenFile};

/// The token as it was read last. Clones are the same one.
#[derive(Clone, Debug)]
pub(super) struct CurrentToken {
    token: Arc<Mutex<AuthToken>>,
    file: Option<TokenFile>,
}

impl CurrentToken {
    pub(super) fn new(token: AuthToken, file: Option<TokenFile>) -> Self {
        Self { token: Arc::new(Mutex::new(token)), file }
    }

    pub(super) fn get(&self) -> AuthToken {
        self.token.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Reads the file again, if there is one. One that cannot be read leaves the token as it was: somebody may be writing it.
    pub(super) async fn renew(&self) {
        let Some(file) = self.file.clone() else { return };
        match smol::unblock(move || file.load()).await {
            Ok(Some(token)) => *self.token.lock().unwrap_or_else(PoisonError::into_inner) = token,
            Ok(None) => {}
            Err(error) => tracing::warn!(%error, "the token stays as it was"),
        }
    }
}

/// Makes logins with the token as it is when a link opens.
pub(super) struct TokenLogins {
    pub(super) system: CompatSystem,
    pub(super) token: CurrentToken,
    pub(super) force: bool,
}

impl LoginFactory for TokenLogins {
    fn login(&self, service: &Service, now: Instant) -> Box<dyn Login> {
        let token = self.token.get();
        let login = match self.system {
            CompatSystem::Tunely => TokenLogin::tunely(token.as_str(), self.force),
            CompatSystem::CloudLlm => TokenLogin::cloud_llm(token.as_str()),
        };
        login.login(service, now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_that_of_its_file_and_stays_while_the_file_is_damaged() {
        let path = std::env::temp_dir().join(format!("hvym-tunnel-current-token-{}", std::process::id()));
        let write = |text: &str| {
            std::fs::write(&path, text).expect("a file");
            #[cfg(unix)]
            {
                use std::os::unix::fs::PermissionsExt;
                let private = std::fs::Permissions::from_mode(0o600);
                std::fs::set_permissions(&path, private).expect("it is ours");
            }
        };
        let token = CurrentToken::new(
            "first".parse().expect("a token"),
            Some(TokenFile { path: path.clone(), passphrase: Default::default() }),
        );
        let renewed = |text: Option<&str>| {
            match text {
                Some(text) => write(text),
                None => std::fs::remove_file(&path).expect("it is ours"),
            }
            smol::block_on(token.renew());
            token.get().as_str().to_owned()
        };
        assert_eq!(renewed(Some("second\n")), "second");
        assert_eq!(renewed(Some("two words")), "second");
        assert_eq!(renewed(Some("third")), "third");
        assert_eq!(renewed(None), "third");
    }
}
