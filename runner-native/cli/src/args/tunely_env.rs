//! `relay --tunely-env`: the variables by which operators of tunely's server have set it, in the words of this program.
//!
//! No value of a variable is shown: it may be a secret. What is typed, a variable `HVYM_TUNNEL_...` and the file of `--config` win over them.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;

use clap::parser::ValueSource;
use clap::{ArgMatches, Command};
use hvym_tunnel_net::secret::{Fingerprint, Secret};
use hvym_tunnel_registry::DatabaseUrl;
use hvym_tunnel_relay::config::{GuestOptions, HttpUrl, TunelyOptions, TunnelPort, WebhookOptions};
use hvym_tunnel_settings::nearest;

use crate::exit::{Exit, ExitError};

/// The command that reads them.
const COMMAND: &str = "relay";
/// The prefixes of the variables of its server. The first wins, as there.
const PREFIXES: [&str; 2] = ["TUNELY_", "WS_TUNNEL_"];
/// The prefix of those of its agent.
const AGENT_PREFIX: &str = "WS_TUNNEL_CLIENT_";
/// Where its agents connect, unless told otherwise.
const WS_PATH: &str = "/ws/tunnel";
/// The port that it listens at unless told otherwise.
const PORT: u16 = 8000;
/// Where it keeps its tunnels unless told otherwise, below its working folder.
const DATABASES: [&str; 2] = ["data/tunely.db", "data/tunnels.db"];

/// What follows the prefix, of variables that mean something here.
const TAKEN: [&str; 20] = [
    "ADMIN_API_KEY",
    "CONSOLE_TUNNELS_PER_USER",
    "CORS_ORIGINS",
    "DATABASE_URL",
    "DISPATCH_WEBHOOK_SECRET",
    "DISPATCH_WEBHOOK_URL",
    "DOMAIN",
    "HOST",
    "INSTRUCTION",
    "JWT_SECRET",
    "LISTENER_TLS_CERT_FILE",
    "PORT",
    "REQUEST_TIMEOUT",
    "SSL_CERT_FILE",
    "SSL_KEY_FILE",
    "TCP_LISTEN",
    "TCP_LISTEN_HOST",
    "TCP_LISTEN_PORT",
    "TCP_TARGET_DOMAIN",
    "WS_PATH",
];

/// The same, of variables of tunely 0.12 that mean nothing here.
const IGNORED: [&str; 26] = [
    "CONSOLE_LOGIN_FAILURE_DELAY",
    "CONSOLE_SESSION_SECRET",
    "CONSOLE_SESSION_SECRET_FILE",
    "DEFAULT_TIMEOUT",
    "DISABLE_CAPABILITIES",
    "EXPOSE_VERSION",
    "FORWARD_MAX_TIMEOUT",
    "HEARTBEAT_INTERVAL",
    "HEARTBEAT_TIMEOUT",
    "HTTP_MAX_RESPONSE_BYTES",
    "LISTENER_TLS_ALPN",
    "LISTENER_TLS_KEY_FILE",
    "MAX_PENDING_REQUESTS",
    "NODE_ID",
    "REDIS_URL",
    "REQUEST_LOG_ENABLED",
    "REQUEST_LOG_RETENTION_DAYS",
    "ROOT_RESPONSE_FILE",
    "STREAM_QUEUE_MAXSIZE",
    "TCP_FORWARD_MAX_BUFFER_BYTES",
    "TCP_IDLE_TIMEOUT",
    "TCP_MAX_CONNECTIONS",
    "UDP_LISTEN",
    "UDP_MAX_SESSIONS",
    "UDP_SESSION_TIMEOUT",
    "WS_URL",
];

/// The variables that are set to something.
pub(crate) struct TunelyEnv(BTreeMap<String, String>);

/// `arguments` with those of the variables, if `relay` is to read them.
///
/// # Errors
/// What is wrong with a variable.
pub(super) fn with_variables(
    command: &Command,
    typed: &ArgMatches,
    mut arguments: Vec<OsString>,
) -> Result<Vec<OsString>, ExitError> {
    let Some((COMMAND, relay)) = typed.subcommand() else { return Ok(arguments) };
    if !relay.get_flag("tunely_env") {
        return Ok(arguments);
    }
    let options = command.find_subcommand(COMMAND);
    let is_typed = |long: &str| {
        let option =
            options.and_then(|options| options.get_arguments().find(|one| one.get_long() == Some(long)));
        let source = option.and_then(|option| relay.value_source(option.get_id().as_str()));
        matches!(source, Some(ValueSource::CommandLine | ValueSource::EnvVariable))
    };
    let domain = relay.get_one::<String>("domain").filter(|_| is_typed("domain"));
    arguments.extend(TunelyEnv::of_process().arguments(domain.map(String::as_str), is_typed)?);
    Ok(arguments)
}

fn wrong(message: String) -> ExitError {
    ExitError::new(Exit::Config, message)
}

impl TunelyEnv {
    /// Those of this process.
    pub(crate) fn of_process() -> Self {
        let text = |text: OsString| text.to_string_lossy().into_owned();
        Self::new(std::env::vars_os().map(|(name, value)| (text(name), text(value))))
    }

    fn new(variables: impl Iterator<Item = (String, String)>) -> Self {
        let is_theirs = |name: &str| {
            PREFIXES.iter().any(|prefix| name.starts_with(prefix)) && !name.starts_with(AGENT_PREFIX)
        };
        let value = |(name, value): (String, String)| (name, value.trim().to_owned());
        Self(variables.map(value).filter(|(name, value)| is_theirs(name) && !value.is_empty()).collect())
    }

    /// The variable that ends in `name`, and its value.
    fn get(&self, name: &str) -> Option<(String, &str)> {
        PREFIXES.iter().find_map(|prefix| {
            let variable = format!("{prefix}{name}");
            let value = self.0.get(&variable)?;
            Some((variable, value.as_str()))
        })
    }

    /// What they say, as if it were typed. `domain` is the one that is typed.
    fn arguments(
        &self,
        domain: Option<&str>,
        is_typed: impl Fn(&str) -> bool,
    ) -> Result<Vec<OsString>, ExitError> {
        let mut words: Vec<OsString> = vec!["--path-names".into()];
        let mut add = |long: &str, value: &str| words.push(format!("--{long}={value}").into());
        let has_address = self.get("HOST").or_else(|| self.get("PORT")).is_some();
        if has_address || !is_typed("acme") {
            add("listen", &self.listen()?.to_string());
        }
        let plain = [("domain", "DOMAIN"), ("tls-cert", "SSL_CERT_FILE"), ("tls-key", "SSL_KEY_FILE")];
        for (long, name) in plain {
            if let Some((_, value)) = self.get(name) {
                add(long, value);
            }
        }
        if let Some((name, value)) = self.get("REQUEST_TIMEOUT") {
            add("response-timeout", &whole_seconds(&name, value)?);
        }
        let origins = self.get("CORS_ORIGINS").map_or("*", |(_, origins)| origins);
        for origin in origins.split(',').map(str::trim).filter(|origin| !matches!(*origin, "" | "*")) {
            add("allow-origin", origin);
        }
        let domain = domain.or_else(|| self.get("DOMAIN").map(|(_, domain)| domain)).unwrap_or("localhost");
        let has_tls = is_typed("tls-cert") || is_typed("acme") || self.get("SSL_CERT_FILE").is_some();
        // That server tells everybody wss URLs, since a proxy speaks TLS for it.
        if domain != "localhost" && !has_tls {
            add("public-scheme", "https");
        }
        for port in self.tunnel_ports()? {
            add("tunnel-port", &port);
        }
        // Only agents with a token of a tunnel know that server.
        if !["open", "allow-agent", "allow-agents-file", "tokens-only"].into_iter().any(&is_typed) {
            words.push("--tokens-only".into());
        }
        words.retain(|word| {
            let word = word.to_string_lossy();
            !is_typed(word.trim_start_matches('-').split('=').next().unwrap_or_default())
        });
        Ok(words)
    }

    fn listen(&self) -> Result<SocketAddr, ExitError> {
        let ip = match self.get("HOST") {
            None => Ipv4Addr::UNSPECIFIED.into(),
            Some((_, "localhost")) => Ipv4Addr::LOCALHOST.into(),
            Some((name, host)) => host
                .trim_matches(['[', ']'])
                .parse::<IpAddr>()
                .map_err(|_| wrong(format!("{name} must be the IP address to listen at")))?,
        };
        let port = match self.get("PORT") {
            None => PORT,
            Some((name, port)) => port.parse().map_err(|_| wrong(format!("{name} must be a port")))?,
        };
        Ok(SocketAddr::new(ip, port))
    }

    /// The ports of tunnels, as `--tunnel-port` has them.
    fn tunnel_ports(&self) -> Result<Vec<String>, ExitError> {
        let host = self.get("TCP_LISTEN_HOST").map_or("127.0.0.1", |(_, host)| host);
        let host =
            if host.contains(':') { format!("[{}]", host.trim_matches(['[', ']'])) } else { host.to_owned() };
        let listed = self.get("TCP_LISTEN");
        let pairs = listed.iter().flat_map(|(name, list)| {
            let items = list.split(',').map(str::trim).filter(|item| !item.is_empty());
            items.map(|item| (name.clone(), item.split_once(':')))
        });
        let mut ports = BTreeMap::new();
        if let (Some((name, port)), Some((_, tunnel))) =
            (self.get("TCP_LISTEN_PORT"), self.get("TCP_TARGET_DOMAIN"))
        {
            ports.insert(port, (name, tunnel));
        }
        for (name, pair) in pairs {
            let (port, tunnel) =
                pair.ok_or_else(|| wrong(format!("{name} must be a list like 7000:name,7001:other")))?;
            ports.insert(port.trim(), (name, tunnel.trim()));
        }
        // What was read by TLS alone must not come in the clear.
        if let Some((name, _)) = self.get("LISTENER_TLS_CERT_FILE").filter(|_| !ports.is_empty()) {
            return Err(wrong(format!("{name}: this relay speaks no TLS at the ports of tunnels")));
        }
        let shown = |(port, (name, tunnel)): (&str, (String, &str))| {
            let text = format!("{host}:{port}={tunnel}");
            let is_one = text.parse::<TunnelPort>().is_ok();
            is_one.then_some(text).ok_or_else(|| wrong(format!("{name} must lead ports to names of tunnels")))
        };
        ports.into_iter().map(shown).collect()
    }

    /// Adds what they say of agents and tools of tunely, where `guests` say nothing.
    ///
    /// # Errors
    /// What is wrong with a variable.
    pub(crate) fn add_to(&self, guests: &mut GuestOptions) -> Result<(), ExitError> {
        if let Some((name, path)) = self.get("WS_PATH")
            && path.trim_end_matches('/') != WS_PATH
        {
            return Err(wrong(format!("{name}: agents connect to this relay at {WS_PATH} alone")));
        }
        let mut tunely = guests.tunely.take().map_or_else(|| self.quota(), Ok)?;
        if let Some((name, key)) = self.get("ADMIN_API_KEY").filter(|_| tunely.admin_key.is_none()) {
            let least = TunelyOptions::MIN_ADMIN_KEY_BYTES;
            if key.len() < least {
                return Err(wrong(format!("{name} is too short to be secret: {least} characters at least")));
            }
            tunely.admin_key = Some(Fingerprint::new(key.as_bytes()));
        }
        if let Some((name, secret)) = self.get("JWT_SECRET").filter(|_| tunely.jwt_secret.is_none()) {
            let least = TunelyOptions::MIN_JWT_SECRET_BYTES;
            if secret.len() < least {
                return Err(wrong(format!("{name} is too short: {least} bytes at least")));
            }
            tunely.jwt_secret = Some(Secret::from(secret));
        }
        if tunely.instruction.is_none() {
            tunely.instruction = self.get("INSTRUCTION").map(|(_, text)| text.to_owned());
        }
        guests.tunely = Some(tunely);
        if let Some((name, url)) = self.get("DISPATCH_WEBHOOK_URL").filter(|_| guests.webhook.is_none()) {
            let url = HttpUrl::parse(url)
                .ok_or_else(|| wrong(format!("{name} must be an http URL without a password and a query")))?;
            let secret = self.get("DISPATCH_WEBHOOK_SECRET").map(|(_, secret)| Secret::from(secret));
            guests.webhook = Some(WebhookOptions { url, secret });
        }
        Ok(())
    }

    /// Tunely without anything but how many tunnels one owner may have.
    fn quota(&self) -> Result<TunelyOptions, ExitError> {
        let mut tunely = TunelyOptions::default();
        if let Some((name, count)) = self.get("CONSOLE_TUNNELS_PER_USER") {
            let count = count.parse().map_err(|_| wrong(format!("{name} must be a number")))?;
            tunely.max_tunnels_per_owner = count;
        }
        Ok(tunely)
    }

    /// The database of that server, which is at its usual place if no variable names another one, and if there is one.
    ///
    /// # Errors
    /// What is named is none.
    pub(crate) fn database(&self) -> Result<Option<DatabaseUrl>, ExitError> {
        match self.get("DATABASE_URL") {
            Some((name, url)) => url.parse().map(Some).map_err(|error| wrong(format!("{name}: {error}"))),
            None => {
                let usual = DATABASES.iter().map(Path::new).find(|file| file.exists());
                Ok(usual.map(DatabaseUrl::sqlite))
            }
        }
    }

    /// What an operator should know of the variables: those without effect, and those that nobody knows.
    pub(crate) fn notes(&self) -> Vec<String> {
        let suffix = |name: &str| {
            let suffix = PREFIXES.iter().find_map(|prefix| name.strip_prefix(prefix));
            suffix.unwrap_or_default().to_owned()
        };
        let is = |known: &[&str], name: &String| known.contains(&suffix(name).as_str());
        let ignored: Vec<&str> =
            self.0.keys().filter(|name| is(&IGNORED, name)).map(String::as_str).collect();
        let mut notes = Vec::new();
        if !ignored.is_empty() {
            notes.push(format!("without effect at this relay: {}", ignored.join(", ")));
        }
        let known: Vec<String> = TAKEN.iter().chain(&IGNORED).map(|name| (*name).to_owned()).collect();
        for name in self.0.keys().filter(|name| !is(&TAKEN, name) && !is(&IGNORED, name)) {
            let meant = nearest(&suffix(name), &known).map(|meant| format!("; did you mean ..{meant}?"));
            notes.push(format!("no variable of tunely's server: {name}{}", meant.unwrap_or_default()));
        }
        notes
    }
}

/// A time as that server takes it, in whole seconds.
fn whole_seconds(name: &str, text: &str) -> Result<String, ExitError> {
    let seconds = text.parse::<f64>().ok().filter(|seconds| seconds.is_finite() && *seconds > 0.0);
    let seconds = seconds.ok_or_else(|| wrong(format!("{name} must be a number of seconds")))?;
    Ok(format!("{:.0}", seconds.ceil()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "the-operators-own-key";

    fn env(variables: &[(&str, &str)]) -> TunelyEnv {
        TunelyEnv::new(variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())))
    }

    fn words(variables: &[(&str, &str)], typed: &[&str]) -> Result<String, String> {
        let words = env(variables).arguments(None, |long| typed.contains(&long));
        let words = words.map_err(|error| error.message)?;
        Ok(words.iter().map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" "))
    }

    #[test]
    fn variables_are_what_would_be_typed_and_what_is_typed_wins() {
        assert_eq!(words(&[], &[]), Ok("--path-names --listen=0.0.0.0:8000 --tokens-only".to_owned()));
        let public = [
            ("TUNELY_HOST", "127.0.0.1"),
            ("TUNELY_PORT", "8080"),
            ("WS_TUNNEL_DOMAIN", "other.example"),
            ("TUNELY_DOMAIN", "tunnel.example"),
            ("TUNELY_REQUEST_TIMEOUT", "120.5"),
            ("TUNELY_CORS_ORIGINS", "https://a.example, https://b.example"),
        ];
        let expected = "--path-names --listen=127.0.0.1:8080 --domain=tunnel.example --response-timeout=121 \
            --allow-origin=https://a.example --allow-origin=https://b.example --public-scheme=https --tokens-only";
        assert_eq!(words(&public, &[]).as_deref(), Ok(expected));
        let typed =
            ["listen", "domain", "response-timeout", "allow-origin", "public-scheme", "path-names", "open"];
        assert_eq!(words(&public, &typed).as_deref(), Ok(""));
        let tls =
            [("TUNELY_DOMAIN", "t.example"), ("TUNELY_SSL_CERT_FILE", "c"), ("TUNELY_SSL_KEY_FILE", "k")];
        let expected =
            "--path-names --listen=0.0.0.0:8000 --domain=t.example --tls-cert=c --tls-key=k --tokens-only";
        assert_eq!(words(&tls, &[]).as_deref(), Ok(expected));
        assert_eq!(words(&[("TUNELY_CORS_ORIGINS", "*")], &["acme", "open"]).as_deref(), Ok("--path-names"));
    }

    #[test]
    fn ports_of_tunnels_are_led_to_the_same_tunnels() {
        let listed = [
            ("WS_TUNNEL_TCP_LISTEN", "7001:shop, 7002:other"),
            ("WS_TUNNEL_TCP_LISTEN_PORT", "7001"),
            ("WS_TUNNEL_TCP_TARGET_DOMAIN", "lost"),
        ];
        let expected = "--tunnel-port=127.0.0.1:7001=shop --tunnel-port=127.0.0.1:7002=other --tokens-only";
        assert!(words(&listed, &[]).expect("ports").ends_with(expected));
        let one = [listed[1], listed[2], ("WS_TUNNEL_TCP_LISTEN_HOST", "::")];
        assert!(words(&one, &["open"]).expect("a port").ends_with(" --tunnel-port=[::]:7001=lost"));
        assert!(!words(&listed[1..2], &[]).expect("no port").contains("tunnel-port"));
        assert!(words(&[listed[0], ("WS_TUNNEL_LISTENER_TLS_CERT_FILE", "c")], &[]).is_err());
        assert!(words(&[("WS_TUNNEL_LISTENER_TLS_CERT_FILE", "c")], &[]).is_ok());
    }

    #[test]
    fn what_is_wrong_is_named_and_never_shown() {
        for (name, value) in [
            ("TUNELY_HOST", "secret.example"),
            ("TUNELY_PORT", "65536-secret"),
            ("TUNELY_REQUEST_TIMEOUT", "secret"),
            ("TUNELY_REQUEST_TIMEOUT", "0"),
            ("WS_TUNNEL_ADMIN_API_KEY", "fifteen-secrets"),
            ("TUNELY_JWT_SECRET", "a secret of thirty-one bytes..."),
            ("WS_TUNNEL_DISPATCH_WEBHOOK_URL", "https://me:secret@hooks.example/"),
            ("WS_TUNNEL_CONSOLE_TUNNELS_PER_USER", "secret"),
            ("WS_TUNNEL_WS_PATH", "/secret"),
            ("WS_TUNNEL_TCP_LISTEN", "7000-secret"),
            ("WS_TUNNEL_TCP_LISTEN", "70000:secret"),
            ("WS_TUNNEL_DATABASE_URL", "oracle://me:secret@host/name"),
        ] {
            let env = env(&[(name, value)]);
            let error = env.arguments(None, |_| false).err();
            let error = error.or_else(|| env.add_to(&mut GuestOptions::default()).err());
            let error = error.or_else(|| env.database().err()).unwrap_or_else(|| panic!("{name} is taken"));
            assert!(error.message.contains(name) && !error.message.contains(value), "{}", error.message);
        }
    }

    #[test]
    fn secrets_of_the_least_length_are_taken_and_a_file_wins_over_variables() {
        let secret = "a secret of thirty-two bytes ...";
        let env = env(&[
            ("TUNELY_ADMIN_API_KEY", &KEY[..16]),
            ("WS_TUNNEL_JWT_SECRET", secret),
            ("WS_TUNNEL_INSTRUCTION", "ask ops"),
            ("WS_TUNNEL_DISPATCH_WEBHOOK_URL", "http://hooks.example/in"),
            ("WS_TUNNEL_DISPATCH_WEBHOOK_SECRET", "hush"),
            ("WS_TUNNEL_CONSOLE_TUNNELS_PER_USER", "3"),
        ]);
        let mut guests = GuestOptions::default();
        env.add_to(&mut guests).expect("they are right");
        let tunely = guests.tunely.expect("it is served");
        assert_eq!(tunely.admin_key, Some(Fingerprint::new(&KEY.as_bytes()[..16])));
        assert_eq!((tunely.jwt_secret, tunely.max_tunnels_per_owner), (Some(Secret::from(secret)), 3));
        assert_eq!(tunely.instruction.as_deref(), Some("ask ops"));
        let hook = guests.webhook.expect("it is told");
        assert_eq!(
            (hook.url.to_string(), hook.secret),
            ("http://hooks.example/in".to_owned(), Some(Secret::from("hush")))
        );
        let own = TunelyOptions { admin_key: Some(Fingerprint::new(b"own")), ..TunelyOptions::default() };
        let mut guests = GuestOptions { tunely: Some(own.clone()), ..GuestOptions::default() };
        env.add_to(&mut guests).expect("they are right");
        let tunely = guests.tunely.expect("it is served");
        assert_eq!(
            (tunely.admin_key, tunely.max_tunnels_per_owner),
            (own.admin_key, own.max_tunnels_per_owner)
        );
    }

    #[test]
    fn variables_without_effect_and_unknown_ones_are_said_by_name() {
        let notes = env(&[
            ("WS_TUNNEL_REDIS_URL", "redis://:secret@host"),
            ("WS_TUNNEL_HEARTBEAT_INTERVAL", "30"),
            ("TUNELY_DOMIAN", "secret.example"),
            ("WS_TUNNEL_CLIENT_TOKEN", "tun_secret"),
            ("TUNELY_WS_PATH", "/ws/tunnel"),
            ("TUNELY_EMPTY", ""),
            ("HOME", "/secret"),
        ])
        .notes();
        assert_eq!(
            notes,
            [
                "without effect at this relay: WS_TUNNEL_HEARTBEAT_INTERVAL, WS_TUNNEL_REDIS_URL",
                "no variable of tunely's server: TUNELY_DOMIAN; did you mean ..DOMAIN?"
            ]
        );
        assert_eq!(env(&[]).notes(), Vec::<String>::new());
    }
}
