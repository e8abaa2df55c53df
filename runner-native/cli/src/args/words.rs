//! Command lines as people know them from other tunnels, said in the words of this program.
//!
//! Only what cannot mean anything else here is translated; the rest is left to whoever reads the arguments.

use std::ffi::OsString;

use hvym_tunnel_net::target::Target;

/// A command line in our words.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Translated {
    pub(super) arguments: Vec<OsString>,
    /// The part that was translated, for the person who typed it; values of options are left out.
    pub(super) shown: String,
}

/// What others call options of `expose`.
const OPTIONS: [(&str, &str); 5] = [
    ("--subdomain", "--name"),
    ("--hostname", "--name"),
    ("--domain", "--name"),
    ("--to", "--relay"),
    ("--server", "--relay"),
];

/// `arguments`, the name of the program first, as a command line of `expose`; `None` if they are in our words already, or say
/// something else. `is_command` knows the commands.
pub(super) fn translate(arguments: &[OsString], is_command: impl Fn(&str) -> bool) -> Option<Translated> {
    let texts = arguments.iter().map(|argument| argument.to_str().map(str::to_owned));
    let texts = texts.collect::<Option<Vec<String>>>()?;
    let (program, words) = texts.split_first()?;
    let (said_expose, mut words) = match words.first()?.as_str() {
        "expose" => (true, words[1..].to_vec()),
        first if is_command(first) => return None,
        _ => (false, words.to_vec()),
    };
    let target = target(&mut words, said_expose);
    if target.is_none() && !said_expose {
        return None;
    }
    let renamed = rename(&mut words);
    if target.is_none() && renamed.is_empty() {
        return None;
    }
    let mut shown = format!("hvym-tunnel expose {}", target.as_deref().unwrap_or("..."));
    for option in renamed {
        shown.push_str(&format!(" {option} ..."));
    }
    let head = [program.clone(), "expose".to_owned()].into_iter().chain(target);
    Some(Translated { arguments: head.chain(words).map(OsString::from).collect(), shown })
}

/// Takes what is to be exposed out of `words`, if it is said in other words than ours.
fn target(words: &mut Vec<String>, said_expose: bool) -> Option<String> {
    if let [verb, place, ..] = &words[..]
        && let Some(target) = of_verb(verb, place)
    {
        words.drain(..2);
        return Some(target);
    }
    if words.first().is_some_and(|word| word == "tunnel") {
        words.remove(0);
        return option(words, &["--url"]).map(|url| url.trim_end_matches('/').to_owned());
    }
    let first = words.first()?;
    if !first.starts_with('-') {
        // A place alone; after our own word it is no translation.
        let is_place = !said_expose && first.parse::<Target>().is_ok();
        return is_place.then(|| words.remove(0));
    }
    option(words, &["--port", "-p"])
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
    if place.starts_with('-') {
        return None;
    }
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

/// Says options in our words. Returns those that were not.
fn rename(words: &mut [String]) -> Vec<&'static str> {
    let mut renamed = Vec::new();
    for word in words {
        let (name, value) = match word.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (word.as_str(), None),
        };
        let Some((_, ours)) = OPTIONS.into_iter().find(|(theirs, _)| *theirs == name) else { continue };
        *word = value.map_or_else(|| ours.to_owned(), |value| format!("{ours}={value}"));
        renamed.push(ours);
    }
    renamed
}

#[cfg(test)]
mod tests {
    use super::*;

    fn translated(line: &str) -> Option<String> {
        let arguments: Vec<OsString> = line.split(' ').map(OsString::from).collect();
        let is_command = |word: &str| matches!(word, "expose" | "share" | "relay");
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
        ] {
            assert_eq!(translated(typed), None, "{typed}");
        }
    }

    #[test]
    fn values_of_options_are_not_shown() {
        let arguments: Vec<OsString> =
            "x http 3000 --subdomain hunter2".split(' ').map(OsString::from).collect();
        let shown = translate(&arguments, |_| false).expect("a translation").shown;
        assert_eq!(shown, "hvym-tunnel expose 3000 --name ...");
    }
}
