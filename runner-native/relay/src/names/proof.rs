//! Whether DNS says that a host name is led to an identity's services: by a text with its address, or as an alias of its name.

use std::pin::Pin;

use hvym_tunnel_core::names::CustomHost;
use hvym_tunnel_core::stellar::Address;
use thiserror::Error;

/// The label in front of a host name at which its owner's address stands.
pub(crate) const TEXT_LABEL: &str = "_hvym-tunnel";

/// The records of a name.
pub type Lookups<'a> = Pin<Box<dyn Future<Output = Result<Vec<String>, LookupError>> + Send + 'a>>;

/// Why records cannot be looked up.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[error("{0}")]
pub struct LookupError(pub String);

/// Looks up records of DNS. A name that does not exist has none, which is no error.
pub trait DnsLookup: Send + Sync {
    /// The texts (TXT) of a name.
    fn texts<'a>(&'a self, name: &'a str) -> Lookups<'a>;

    /// The names that a name is an alias of (CNAME), in lower case and without a final dot; itself alone, no chain.
    fn aliases<'a>(&'a self, name: &'a str) -> Lookups<'a>;
}

/// What DNS may say of a host name of one identity.
pub(crate) struct Accepted {
    /// Its address.
    pub(crate) address: Address,
    /// The names that it has here.
    pub(crate) hosts: Vec<String>,
}

/// Whether one of the records is there.
///
/// # Errors
/// Neither can be looked up, or one cannot and the other is not there.
pub(crate) async fn is_proven(
    dns: &dyn DnsLookup,
    host: &CustomHost,
    accepted: &Accepted,
) -> Result<bool, LookupError> {
    let name = format!("{TEXT_LABEL}.{host}");
    let texts = dns.texts(&name).await;
    let is_address = |text: &String| text.trim().parse() == Ok(accepted.address);
    if texts.as_ref().is_ok_and(|texts| texts.iter().any(is_address)) {
        return Ok(true);
    }
    let aliases = dns.aliases(host.as_str()).await?;
    if aliases.iter().any(|alias| accepted.hosts.contains(alias)) {
        return Ok(true);
    }
    texts.map(|_| false)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Records {
        texts: Result<Vec<String>, LookupError>,
        aliases: Result<Vec<String>, LookupError>,
    }

    impl DnsLookup for Records {
        fn texts<'a>(&'a self, name: &'a str) -> Lookups<'a> {
            assert_eq!(name, "_hvym-tunnel.app.example.org");
            Box::pin(async { self.texts.clone() })
        }

        fn aliases<'a>(&'a self, name: &'a str) -> Lookups<'a> {
            assert_eq!(name, "app.example.org");
            Box::pin(async { self.aliases.clone() })
        }
    }

    #[test]
    fn a_text_with_the_address_or_an_alias_of_a_name_proves_a_host() {
        let [mine, other] = [[1; 32], [2; 32]].map(Address::from_public_key);
        let host = CustomHost::new("App.Example.org.").expect("a host");
        let accepted = Accepted { address: mine, hosts: vec!["abc.tunnel.example".to_owned()] };
        let check = |texts: &[String], aliases: &[&str]| {
            let aliases = aliases.iter().map(|alias| (*alias).to_owned()).collect();
            let records = Records { texts: Ok(texts.to_vec()), aliases: Ok(aliases) };
            smol::block_on(is_proven(&records, &host, &accepted))
        };
        assert_eq!(check(&["v=spf1".to_owned(), format!(" {mine} ")], &[]), Ok(true));
        assert_eq!(check(&[], &["abc.tunnel.example"]), Ok(true));
        assert_eq!(check(&[other.to_string()], &["abd.tunnel.example", "tunnel.example"]), Ok(false));
        assert_eq!(check(&[mine.label()], &[]), Ok(false), "an address is written in upper case");
        let failed = Err(LookupError("no answer".to_owned()));
        for (texts, aliases, verdict) in [
            (failed.clone(), Ok(vec!["abc.tunnel.example".to_owned()]), Some(true)),
            (Ok(vec![mine.to_string()]), failed.clone(), Some(true)),
            (failed.clone(), Ok(Vec::new()), None),
            (Ok(Vec::new()), failed.clone(), None),
        ] {
            let records = Records { texts, aliases };
            assert_eq!(smol::block_on(is_proven(&records, &host, &accepted)).ok(), verdict);
        }
    }
}
