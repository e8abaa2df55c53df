//! Command lines as people know them from other tunnels, said in the words of this program.
//!
//! Only what cannot mean anything else here is translated; the rest is left to whoever reads the arguments.

use std::ffi::OsString;

use hvym_tunnel_net::target::Target;

/// A command line in our words.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Translated {
    pub(super) arguments: Vec<OsString>,
    /// The part that was translated, for the person who typed it.
    pub(super) shown: String,
}

/// What others call options of `expose`, each with a value.
const OPTIONS: [(&str, &str); 5] = [
    ("--subdomain", "--name"),
    ("--hostname", "--name"),
    ("--domain", "--name"),
    ("--to", "--relay"),
    ("--server", "--relay"),
];
/// Options of `expose` with a value that are often typed before the place.
const OURS: [&str; 4] = ["--name", "--relay", "--service", "--host-header"];
/// What asks others for what is done here anyway.
const IMPLIED: [&str; 1] = ["--bg"];

/// `arguments`, the name of the program first, as a command line of `expose`; `None` if they are in our words already, or say
/// something else. `is_command` knows the commands.
pub(super) fn translate(arguments: &[OsString], is_command: impl Fn(&str) -> bool) -> Option<Translated> {
    let texts = arguments.iter().map(|argument| argument.to_str().map(str::to_owned));
    let texts = texts.collect::<Option<Vec<String>>>()?;
    let (program, words) = texts.split_first()?;
    let (said_expose, mut words) = match words.first()?.as_str() {
        "expose" => (true, words[1..].to_vec()),
        // Ours manages tunnels of a relay, and knows no such option.
        "tunnel" if words.iter().any(|word| word.split('=').next() == Some("--url")) => {
            (false, words.to_vec())
        }
        first if is_command(first) => return None,
        _ => (false, words.to_vec()),
    };
    let target = target(&mut words, said_expose);
    if target.is_none() && !said_expose {
        return None;
    }
    if let Some(target) = &target {
        words.retain(|word| !IMPLIED.contains(&word.as_str()));
        name_host(&mut words, target);
    }
    let renamed = rename(&mut words);
    if target.is_none() && renamed.is_empty() {
        return None;
    }
    let mut shown = format!("hvym-tunnel expose {}", target.as_deref().unwrap_or("..."));
    renamed.iter().for_each(|option| shown.push_str(&format!(" {option}")));
    let head = [program.clone(), "expose".to_owned()].into_iter().chain(target);
    Some(Translated { arguments: head.chain(words).map(OsString::from).collect(), shown })
}

/// Takes what is to be exposed out of `words`, if it is said in other words than ours.
fn target(words: &mut Vec<String>, said_expose: bool) -> Option<String> {
    if let Some(verb) = words.first().cloned()
        && let Some(at) = place(words, 1)
        && let Some(target) = of_verb(&verb, &words[at])
    {
        words.remove(at);
        words.remove(0);
        // Of one that says the place as well, it is the name.
        words.iter_mut().for_each(|word| {
            if let Some(name) = word.strip_prefix("--url=") {
                *word = format!("--name={}", name.trim_start_matches("https://"));
            }
        });
        return Some(target);
    }
    if words.first().is_some_and(|word| word == "tunnel") {
        words.remove(0);
        return option(words, &["--url"]).map(|url| url.trim_end_matches('/').to_owned());
    }
    if let Some(target) = option(words, &["--port", "-p"]) {
        return Some(target);
    }
    // A place alone; after our own word it is no translation.
    let at = place(words, 0).filter(|_| !said_expose)?;
    words[at].parse::<Target>().is_ok().then(|| words.remove(at))
}

/// Where, from `from` on, the first word is that is neither an option nor the value of one that is known to have one.
fn place(words: &[String], from: usize) -> Option<usize> {
    let mut at = from;
    while let Some(word) = words.get(at) {
        if !word.starts_with('-') {
            return Some(at);
        }
        let has_value = OPTIONS.iter().any(|(theirs, _)| theirs == word) || OURS.contains(&word.as_str());
        at += if has_value { 2 } else { 1 };
    }
    None
}

/// `http 3000` and the like.
fn of_verb(verb: &str, place: &str) -> Option<String> {
    let scheme = match verb {
        "http" | "funnel" => None,
        "https" => Some("https"),
        "tcp" | "tls" | "local" => Some("tcp"),
        "h2c" => Some("h2c"),
        "serve" if place.starts_with(['.', '/', '~']) => return Some(place.to_owned()),
        "serve" => return Some(format!("./{place}")),
        _ => return None,
    };
    let place = place.strip_prefix(':').unwrap_or(place);
    Some(match scheme {
        _ if place.contains("://") => place.to_owned(),
        None => place.to_owned(),
        Some(scheme) if place.bytes().all(|byte| byte.is_ascii_digit()) => {
            format!("{scheme}://localhost:{place}")
        }
        Some(scheme) => format!("{scheme}://{place}"),
    })
}

/// Takes the first of these options and its value out of `words`.
fn option(words: &mut Vec<String>, names: &[&str]) -> Option<String> {
    let at = words.iter().position(|word| names.contains(&word.split('=').next().unwrap_or(word)))?;
    let word = words.remove(at);
    match word.split_once('=') {
        Some((_, value)) => Some(value.to_owned()),
        None if at < words.len() => Some(words.remove(at)),
        None => None,
    }
}

/// Says which host ngrok's `--host-header=rewrite` means.
fn name_host(words: &mut [String], target: &str) {
    let place = target.split_once("://").map_or(target, |(_, place)| place);
    let place = place.split('/').next().unwrap_or_default().trim_start_matches(':');
    let is_port = !place.is_empty() && place.bytes().all(|byte| byte.is_ascii_digit());
    let host = if is_port { format!("localhost:{place}") } else { place.to_owned() };
    for at in 0..words.len() {
        if words[at] == "--host-header=rewrite" {
            words[at] = format!("--host-header={host}");
        } else if words[at] == "rewrite" && at > 0 && words[at - 1] == "--host-header" {
            words[at].clone_from(&host);
        }
    }
}

/// Says options in our words. Returns those that were not, as they are said now.
fn rename(words: &mut [String]) -> Vec<String> {
    let mut renamed = Vec::new();
    for at in 0..words.len() {
        let (name, value) = match words[at].split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (words[at].as_str(), None),
        };
        let Some((_, ours)) = OPTIONS.into_iter().find(|(theirs, _)| *theirs == name) else { continue };
        let word = value.map_or_else(|| ours.to_owned(), |value| format!("{ours}={value}"));
        match (value, words.get(at + 1)) {
            (None, Some(value)) => renamed.push(format!("{word} {value}")),
            _ => renamed.push(word.clone()),
        }
        words[at] = word;
    }
    renamed
}

#[cfg(test)]
mod tests {
    use super::*;

    fn translated(line: &str) -> Option<String> {
        let arguments: Vec<OsString> = line.split(' ').map(OsString::from).collect();
        let is_command = |word: &str| matches!(word, "expose" | "share" | "relay" | "tunnel");
        let translated = translate(&arguments, is_command)?;
        let words: Vec<String> =
            translated.arguments.iter().map(|word| word.to_string_lossy().into_owned()).collect();
        Some(words.join(" "))
    }

    #[test]
    fn the_words_of_other_tunnels_are_understood() {
        for (typed, ours) in [
            ("x 3000", "x expose 3000"),
            ("x :3000", "x expose :3000"),
            ("x localhost:3000 --json", "x expose localhost:3000 --json"),
            ("x ./site", "x expose ./site"),
            ("x https://localhost:8443", "x expose https://localhost:8443"),
            ("x http 3000", "x expose 3000"),
            ("x http :3000", "x expose 3000"),
            ("x http app:80 -v", "x expose app:80 -v"),
            ("x expose http 3000", "x expose 3000"),
            ("x tcp 22", "x expose tcp://localhost:22"),
            ("x tcp db:5432", "x expose tcp://db:5432"),
            ("x tls 443", "x expose tcp://localhost:443"),
            ("x https 8443", "x expose https://localhost:8443"),
            ("x http https://localhost:8443", "x expose https://localhost:8443"),
            ("x funnel 3000", "x expose 3000"),
            ("x serve site", "x expose ./site"),
            ("x serve /srv", "x expose /srv"),
            ("x local 8000 --to relay.example", "x expose tcp://localhost:8000 --relay relay.example"),
            ("x tunnel --url http://localhost:3000/", "x expose http://localhost:3000"),
            ("x --port 8000 --subdomain app", "x expose 8000 --name app"),
            ("x --port=8000", "x expose 8000"),
            ("x expose -p 8000", "x expose 8000"),
            ("x http 3000 --subdomain=app", "x expose 3000 --name=app"),
            ("x http --subdomain app 3000", "x expose 3000 --name app"),
            ("x http --domain=app.example 3000", "x expose 3000 --name=app.example"),
            ("x http --url=my-app 3000", "x expose 3000 --name=my-app"),
            ("x http --url=https://my-app 3000", "x expose 3000 --name=my-app"),
            ("x http --json 3000", "x expose 3000 --json"),
            ("x http --relay tunnel.example 3000", "x expose 3000 --relay tunnel.example"),
            ("x http 3000 --host-header=rewrite", "x expose 3000 --host-header=localhost:3000"),
            ("x http --host-header rewrite :3000", "x expose 3000 --host-header localhost:3000"),
            ("x http app:80 --host-header=rewrite", "x expose app:80 --host-header=app:80"),
            ("x --subdomain app 3000", "x expose 3000 --name app"),
            ("x funnel --bg 3000", "x expose 3000"),
            ("x expose 3000 --hostname app.example", "x expose 3000 --name app.example"),
        ] {
            assert_eq!(translated(typed).as_deref(), Some(ours), "{typed}");
        }
    }

    #[test]
    fn our_own_words_and_what_is_no_place_are_left_alone() {
        for typed in [
            "x",
            "x expose 3000",
            "x expose",
            "x expose localhost:3000 --name app",
            "x share web",
            "x relay --domain tunnel.example",
            "x --help",
            "x -v expose 3000",
            "x start",
            "x http",
            "x http --json",
            "x localhost",
            "x --port",
            "x tunnel list",
            "x expose 3000 --host-header=rewrite",
        ] {
            assert_eq!(translated(typed), None, "{typed}");
        }
    }

    #[test]
    fn what_is_understood_is_a_command_that_can_be_copied() {
        for (typed, ours) in [
            ("x http 3000 --subdomain app -v", "hvym-tunnel expose 3000 --name app"),
            ("x http 3000 --subdomain=app", "hvym-tunnel expose 3000 --name=app"),
            ("x tcp 22", "hvym-tunnel expose tcp://localhost:22"),
        ] {
            let arguments: Vec<OsString> = typed.split(' ').map(OsString::from).collect();
            assert_eq!(translate(&arguments, |_| false).expect("a translation").shown, ours);
        }
    }
}
