//! Settings that are well formed and make no sense together.

use hvym_tunnel_agent::settings::{CompatSettings, SettingsError};
use hvym_tunnel_net::target::is_loopback_host;

use crate::hook::HookEntry;
use crate::link::{LinkEntry, LinkSystem};
use crate::schema::is_loopback;
use crate::settings::Settings;
use crate::tree::Step::{self, Index, Key};

/// One contradiction, and where it shows.
pub(crate) struct Contradiction {
    pub(crate) steps: Vec<Step>,
    pub(crate) what: String,
}

/// All contradictions.
pub(crate) fn check(settings: &Settings) -> Vec<Contradiction> {
    let mut found = Vec::new();
    for (index, link) in settings.links.iter().enumerate() {
        let mut say = |key: &'static str, what: String| {
            found.push(Contradiction { steps: vec![Key("link"), Index(index), Key(key)], what });
        };
        if settings.links[..index].iter().any(|earlier| earlier.name == link.name) {
            say("name", format!("another link is called {} too", link.name));
        }
        check_link(settings, link, &mut say);
    }
    for (index, service) in settings.services.iter().enumerate() {
        let mut say = |key: &'static str, what: String| {
            found.push(Contradiction { steps: vec![Key("service"), Index(index), Key(key)], what });
        };
        let is_same =
            |earlier: &&crate::ServiceEntry| earlier.name == service.name && earlier.link == service.link;
        if settings.services[..index].iter().any(|earlier| is_same(&earlier)) {
            say("name", format!("another service is called {} too", service.name));
        }
        match &service.link {
            Some(link) if !settings.links.iter().any(|known| known.name == *link) => {
                say("link", format!("there is no link called {link}"));
            }
            None if settings.links.is_empty() => {
                say("name", "there is no [[link]] to offer it on".to_owned())
            }
            None if settings.links.len() > 1 => {
                say(
                    "name",
                    "there are several links: say on which it is offered, with link = \"NAME\"".to_owned(),
                );
            }
            _ => {}
        }
        if service.public && !service.allow.is_empty() {
            say("allow", "allow says who may reach a private service, and this one is public".to_owned());
        }
        if let Err(error) = service.spec(&settings.folder).check() {
            say(key_of_service(&error), error.to_string());
        }
    }
    check_api(settings, &mut found);
    check_hooks(settings, &mut found);
    found
}

fn check_link(settings: &Settings, link: &LinkEntry, say: &mut impl FnMut(&'static str, String)) {
    if let Err(error) = link.settings(&settings.folder).check() {
        say(key_of_link(&error), error.to_string());
    }
    let signers = [("signer", link.signer.is_some()), ("signer_command", link.signer_command.is_some())];
    if signers == [("signer", true), ("signer_command", true)] {
        say("signer_command", "signer or signer_command has the key, not both".to_owned());
    }
    if link.identity.is_some() && signers.iter().any(|(_, is_set)| *is_set) {
        say("identity", "another program has the key, as signer or signer_command says".to_owned());
    }
    let is_token = link.dialect != LinkSystem::Auto;
    let token_keys = [
        ("token_file", link.token_file.is_some()),
        ("token_command", link.token_command.is_some()),
        ("audience", link.audience.is_some()),
        ("force", link.force),
    ];
    if !is_token {
        for (key, _) in token_keys.iter().filter(|(_, is_set)| *is_set) {
            say(key, "this is about a login by token, and dialect names no system that has one".to_owned());
        }
        return;
    }
    if link.token_file.is_some() && link.token_command.is_some() {
        say(
            "token_command",
            "the token comes from token_file or from token_command, not from both".to_owned(),
        );
    }
    let identity = [("identity", link.identity.is_some()), ("delegation", link.delegation.is_some())];
    for (key, is_set) in identity.into_iter().chain(signers) {
        if is_set {
            say(key, "a login by token shows no identity".to_owned());
        }
    }
    if !link.standby_relays.is_empty() {
        say("standby_relays", "servers of an older system do not share their names".to_owned());
    }
    if !link.names.is_empty() {
        say("names", "a server of an older system gives no names".to_owned());
    }
    let (Some(system), Ok(token)) = (link.system(), "unread".parse()) else { return };
    let compat = CompatSettings { system, token, token_file: None, force: link.force };
    let services: Vec<_> = settings.services_of(link).filter(|service| service.enabled).collect();
    let specs: Vec<_> = services.iter().map(|service| service.spec(&settings.folder)).collect();
    if let Err(error) = compat.check(&link.settings(&settings.folder), &specs) {
        say(if link.force { "force" } else { "dialect" }, error.to_string());
    }
}

fn key_of_link(error: &SettingsError) -> &'static str {
    match error {
        SettingsError::BearerWithoutAddress => "auth",
        SettingsError::BackoffOrder => "reconnect_delay",
        _ => "relay",
    }
}

fn key_of_service(error: &SettingsError) -> &'static str {
    match error {
        SettingsError::NetworksOfPrivate => "allow_cidr",
        SettingsError::ProxyProtocolWithoutTcp => "proxy_protocol",
        SettingsError::Credentials(_) => "basic_auth_file",
        _ => "target",
    }
}

fn check_api(settings: &Settings, found: &mut Vec<Contradiction>) {
    let api = &settings.api;
    let mut say = |key: &'static str, what: &str| {
        found.push(Contradiction { steps: vec![Key("api"), Key(key)], what: what.to_owned() });
    };
    if api.tls_cert.is_some() != api.tls_key.is_some() {
        say("tls_cert", "a certificate and its private key are set together, or neither");
    }
    if api.tls_cert.is_none() && api.listen.iter().any(|address| !is_loopback(address)) {
        say(
            "listen",
            "other machines could reach this address: set tls_cert and tls_key, or listen at 127.0.0.1",
        );
    }
    if api.enabled && api.listen.is_empty() {
        say("listen", "an address to listen at is needed, or enabled = false");
    }
    if settings.log.agent_file == settings.log.api_file {
        let what = "the two logs need files of their own".to_owned();
        found.push(Contradiction { steps: vec![Key("log"), Key("api_file")], what });
    }
}

fn check_hooks(settings: &Settings, found: &mut Vec<Contradiction>) {
    let lists = [("ready", &settings.hooks.ready), ("down", &settings.hooks.down)];
    for (list, hooks) in lists {
        for (index, hook) in hooks.iter().enumerate() {
            if let Some((key, what)) = contradiction_of_hook(hook) {
                let steps = vec![Key("hooks"), Key(list), Index(index), Key(key)];
                found.push(Contradiction { steps, what: what.to_owned() });
            }
        }
    }
}

fn contradiction_of_hook(hook: &HookEntry) -> Option<(&'static str, &'static str)> {
    if hook.exec.is_some() && hook.url.is_some() {
        return Some(("exec", "a hook posts to url or runs exec, not both"));
    }
    if hook.exec.is_some() && (hook.form.is_some() || hook.json.is_some()) {
        return Some(("exec", "a program gets no form and no json"));
    }
    if hook.form.is_some() && hook.json.is_some() {
        return Some(("json", "a hook posts a form or a json object, not both"));
    }
    let host = hook.url.as_deref().and_then(|url| url.strip_prefix("https+insecure://")).map(host_of);
    if host.is_some_and(|host| !is_loopback_host(host)) {
        return Some(("url", "https+insecure:// takes any certificate, and is for this machine alone"));
    }
    None
}

/// The host of what follows a scheme, without user, port and brackets.
fn host_of(rest: &str) -> &str {
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let authority = authority.rsplit('@').next().unwrap_or_default();
    match authority.strip_prefix('[') {
        Some(address) => address.split(']').next().unwrap_or_default(),
        None => authority.split(':').next().unwrap_or_default(),
    }
}
