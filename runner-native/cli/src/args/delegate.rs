//! `identity delegate` and `identity delegations`: lets another key act for the identity, and shows which may.

use std::fs::File;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use data_encoding::{BASE64, BASE64_NOPAD, BASE64URL, BASE64URL_NOPAD, HEXLOWER_PERMISSIVE};
use hvym_tunnel_core::stellar::delegation::{
    Delegation, DelegationId, MAX_TEXT_BYTES, Scopes, SignatureForm, SignedDelegation, Timestamp,
};
use hvym_tunnel_core::stellar::{Address, Signature};
use hvym_tunnel_core::time::UnixTime;
use hvym_tunnel_net::clock::{self, Clock};
use hvym_tunnel_net::files::{self, FileAccess};
use hvym_tunnel_net::key::{self, Identity, Source};
use hvym_tunnel_net::target::{RelayUrl, ServiceName};

use crate::delegations::{DelegationList, KeptDelegation};
use crate::exit::{Exit, ExitError};
use crate::output::write_out;
use crate::revoke::RevokeOptions;
use hvym_tunnel_agent::settings::LinkSettings;

/// Seconds of a day.
const DAY: u64 = 24 * 3600;

/// Let another key act for this identity, with limits and for a time
///
/// Prints a delegation, which is no secret: it is of use to its key alone, which gives it with --delegation. The identity
/// signs it, or a wallet does: --wallet prints the text, the wallet signs it as a message (SEP-53), and --sep53 completes it.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
    hvym-tunnel identity delegate --to GDEVICE... --may agent --services web --out device.json
    hvym-tunnel expose 3000 --service web --delegation device.json --relay tunnel.example   (on the device)

    hvym-tunnel identity delegate --to GDEVICE... --may agent,call --wallet GOWNER... > text.txt
    hvym-tunnel identity delegate --text text.txt --sep53 SIGNATURE --out device.json")]
pub(super) struct DelegateArgs {
    /// The address whose key may act
    #[arg(
        long,
        value_name = "ADDRESS",
        required_unless_present = "text",
        env = "HVYM_TUNNEL_TO",
        hide_env = true
    )]
    to: Option<Address>,
    /// What it may do
    #[arg(
        long,
        value_enum,
        value_delimiter = ',',
        required_unless_present = "text",
        env = "HVYM_TUNNEL_MAY",
        hide_env = true
    )]
    may: Vec<MayArg>,
    /// The services of this identity that it may serve or call; without it all, and it may call others' as you
    #[arg(long, value_name = "NAME", value_delimiter = ',', env = "HVYM_TUNNEL_SERVICES", hide_env = true)]
    services: Vec<ServiceName>,
    /// The one relay where it may act
    #[arg(long, value_name = "HOST", env = "HVYM_TUNNEL_RELAY", hide_env = true)]
    relay: Option<RelayUrl>,
    /// Days until it is over
    #[arg(long, value_name = "DAYS", default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=366), env = "HVYM_TUNNEL_DAYS", hide_env = true)]
    days: u32,
    /// Write the delegation to this file in place of standard output
    #[arg(long, value_name = "FILE", env = "HVYM_TUNNEL_OUT", hide_env = true)]
    out: Option<PathBuf>,
    /// Print the text for the wallet of this account, in place of signing it with the identity here
    #[arg(
        long,
        value_name = "ADDRESS",
        conflicts_with = "text",
        env = "HVYM_TUNNEL_WALLET",
        hide_env = true
    )]
    wallet: Option<Address>,
    /// The text that a wallet has signed
    #[arg(long, value_name = "FILE", requires = "sep53", conflicts_with_all = ["to", "may", "services"], env = "HVYM_TUNNEL_TEXT", hide_env = true)]
    text: Option<PathBuf>,
    /// The wallet's signature of that text, in base64 or hex
    #[arg(long, value_name = "SIGNATURE", requires = "text", env = "HVYM_TUNNEL_SEP53", hide_env = true)]
    sep53: Option<String>,
}

#[derive(Copy, Clone, PartialEq, Eq, Debug, ValueEnum)]
enum MayArg {
    /// Serve your services
    Agent,
    /// Call services as you
    Call,
}

/// Have a relay refuse a delegation from now on, and disconnect what acts by it
///
/// Other relays are not told: repeat it for each where the delegation is good. With --delegation the key that acts by it gives
/// it up itself.
#[derive(Args, Debug)]
pub(super) struct RevokeArgs {
    /// The id of the delegation, as identity delegations shows it
    #[arg(value_name = "ID", allow_hyphen_values = true)]
    id: DelegationId,
    #[command(flatten)]
    link: LinkSettings,
}

impl RevokeArgs {
    /// What to do, as the identity in `source`.
    ///
    /// # Errors
    /// There is no identity, or no relay is named.
    pub(super) fn options(self, source: &Source) -> Result<RevokeOptions, ExitError> {
        self.link.check()?;
        let (identity, list) = (Identity::load(source)?, source.destination()?.to_owned());
        Ok(RevokeOptions { identity, list, link: self.link, id: self.id })
    }
}

/// Runs `identity delegate`.
pub(super) fn run(arguments: DelegateArgs, source: &Source) -> Result<(), ExitError> {
    let now = Clock::new().wall().unix;
    if let (Some(text), Some(signature)) = (&arguments.text, &arguments.sep53) {
        let signed = completed(text, signature)?;
        return hand_out(signed, arguments.out.as_deref(), source, now);
    }
    if let Some(owner) = arguments.wallet {
        let delegation = arguments.delegation(owner, now)?;
        eprintln!(
            "have the wallet of {owner} sign this text as a message, without a line end after it; then"
        );
        eprintln!("    hvym-tunnel identity delegate --text FILE --sep53 SIGNATURE");
        return write_out(format!("{delegation}\n").as_bytes());
    }
    let identity = Identity::load(source)?;
    let signed = identity.sign_delegation(arguments.delegation(identity.address(), now)?);
    hand_out(signed, arguments.out.as_deref(), source, now)
}

/// Runs `identity delegations`.
pub(super) fn list(source: &Source) -> Result<(), ExitError> {
    let list = DelegationList::beside(source.destination()?)?;
    let lines: String =
        list.current(Clock::new().wall().unix).map(|kept| format!("{}\n", described(kept))).collect();
    if lines.is_empty() {
        eprintln!("no delegation is in force that was made here");
    }
    write_out(lines.as_bytes())
}

impl DelegateArgs {
    fn delegation(&self, owner: Address, now: UnixTime) -> Result<Delegation, ExitError> {
        let missing = || ExitError::new(Exit::Usage, "--to and --may say who may do what");
        let delegation = Delegation {
            owner,
            key: self.to.ok_or_else(missing)?,
            may: Scopes { agent: self.may.contains(&MayArg::Agent), call: self.may.contains(&MayArg::Call) },
            services: self.services.iter().map(ToString::to_string).collect(),
            relay: self.relay.as_ref().map(RelayUrl::host_field),
            from: now,
            until: UnixTime::from_secs(now.as_secs() + u64::from(self.days) * DAY),
            id: new_id(),
        };
        delegation.check()?;
        Ok(delegation)
    }
}

/// A random id.
pub(super) fn new_id() -> DelegationId {
    let mut id = [0; 16];
    id.copy_from_slice(&clock::seed()[..16]);
    DelegationId(id)
}

/// The text in the file, with the signature of a wallet.
fn completed(path: &Path, signature: &str) -> Result<SignedDelegation, ExitError> {
    let unreadable = |error: std::io::Error| {
        ExitError::new(Exit::Config, format!("cannot read {}: {error}", key::shown(path)))
    };
    let file = File::open(path).map_err(unreadable)?;
    // A line end that an editor, or this program's own output, has put after the text.
    let text = files::read_text_limited(file, MAX_TEXT_BYTES + 2).map_err(unreadable)?;
    let delegation: Delegation = text.trim_end_matches(['\r', '\n']).parse()?;
    let signature = decoded(signature).ok_or_else(|| {
        ExitError::new(Exit::Config, "a signature is 64 bytes in base64 or hex")
            .with_hint("copy it whole, as the wallet shows it")
    })?;
    Ok(delegation.signed(signature, SignatureForm::Sep53))
}

/// A signature as wallets show it: stellar-cli and Freighter in base64, libraries in hex.
fn decoded(text: &str) -> Option<Signature> {
    let text = text.trim().as_bytes();
    let encodings = [BASE64, BASE64_NOPAD, BASE64URL, BASE64URL_NOPAD, HEXLOWER_PERMISSIVE];
    let mut found = encodings.iter().filter_map(|encoding| encoding.decode(text).ok());
    found.find_map(|bytes| <[u8; 64]>::try_from(bytes).ok()).map(Signature)
}

/// Checks a delegation, keeps it in the list, and gives it out.
fn hand_out(
    signed: SignedDelegation,
    out: Option<&Path>,
    source: &Source,
    now: UnixTime,
) -> Result<(), ExitError> {
    signed.clone().verify()?;
    DelegationList::beside(source.destination()?)?.add(signed.clone(), now)?;
    let json = format!("{}\n", signed.to_json());
    eprintln!("{}", described(&KeptDelegation { signed, revoked_at: Vec::new() }));
    match out {
        None => write_out(json.as_bytes()),
        Some(path) => files::replace(path, json.as_bytes(), FileAccess::Public).map_err(|error| {
            ExitError::new(Exit::Config, format!("cannot write {}: {error}", key::shown(path)))
        }),
    }
}

/// One line for a person.
fn described(kept: &KeptDelegation) -> String {
    let Delegation { key, may, services, relay, until, id, .. } = kept.delegation();
    let services = if services.is_empty() { "all services".to_owned() } else { services.join(",") };
    let relay = relay.as_deref().unwrap_or("any relay");
    let revoked = match kept.revoked_at.as_slice() {
        [] => String::new(),
        relays => format!(", revoked at {}", relays.join(",")),
    };
    format!("{id}  {key} may {may}, {services}, {relay}, until {}{revoked}", Timestamp(*until))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_read_in_every_form_that_wallets_show() {
        let bytes: [u8; 64] = std::array::from_fn(|index| u8::try_from(index * 4 + 3).unwrap_or(0xff));
        for encoding in [BASE64, BASE64_NOPAD, BASE64URL, BASE64URL_NOPAD, HEXLOWER_PERMISSIVE] {
            assert_eq!(decoded(&format!(" {}\n", encoding.encode(&bytes))), Some(Signature(bytes)));
        }
        assert_eq!(decoded(&data_encoding::HEXUPPER.encode(&bytes)), Some(Signature(bytes)));
        for text in ["", "AAAA", &BASE64.encode(&bytes[1..]), "not a signature"] {
            assert_eq!(decoded(text), None, "{text}");
        }
    }
}
