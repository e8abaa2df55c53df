//! The notification service of a desktop, `org.freedesktop.Notifications`, over the session bus (D-Bus): one call on a connection of
//! its own, so that a desktop may come and go.
//!
//! It blocks: it is for a thread that may wait.

use std::env;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

use data_encoding::HEXLOWER;
use percent_encoding::percent_decode_str;

use super::Notification;
use super::dbus_message::{Marshaller, Message, call};

/// How long the bus and the service may be silent.
const SILENCE_LIMIT: Duration = Duration::from_secs(5);
/// Messages that are passed over before the one that answers: the bus tells the name of the connection, and little else.
const MAX_MESSAGES: usize = 16;
/// The longest text: desktops show some lines.
const MAX_TEXT: usize = 400;
/// The name under which a desktop lists what was shown, of its icon, and of its `.desktop` file.
const APPLICATION: &str = "hvym-tunnel";

/// Numbers of the two calls.
const HELLO: u32 = 1;
const NOTIFY: u32 = 2;

/// Where the bus listens.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum SessionBus {
    Path(PathBuf),
    /// A name in Linux' abstract namespace.
    #[cfg(target_os = "linux")]
    Abstract(Vec<u8>),
}

impl SessionBus {
    /// That of this session, if there is one.
    pub(super) fn find() -> Option<Self> {
        match env::var("DBUS_SESSION_BUS_ADDRESS") {
            Ok(address) if !address.is_empty() => Self::parse(&address),
            _ => {
                let path = PathBuf::from(env::var_os("XDG_RUNTIME_DIR")?).join("bus");
                path.exists().then_some(SessionBus::Path(path))
            }
        }
    }

    /// The first of the addresses that is a Unix socket (D-Bus specification, "Server Addresses").
    fn parse(addresses: &str) -> Option<Self> {
        addresses.split(';').find_map(|address| {
            address.strip_prefix("unix:")?.split(',').find_map(|pair| {
                let (key, value) = pair.split_once('=')?;
                let value: Vec<u8> = percent_decode_str(value).collect();
                match key {
                    "path" => Some(SessionBus::Path(String::from_utf8(value).ok()?.into())),
                    #[cfg(target_os = "linux")]
                    "abstract" => Some(SessionBus::Abstract(value)),
                    _ => None,
                }
            })
        })
    }

    fn connect(&self) -> io::Result<UnixStream> {
        let stream = match self {
            SessionBus::Path(path) => UnixStream::connect(path)?,
            #[cfg(target_os = "linux")]
            SessionBus::Abstract(name) => {
                use std::os::linux::net::SocketAddrExt;
                use std::os::unix::net::SocketAddr;
                UnixStream::connect_addr(&SocketAddr::from_abstract_name(name)?)?
            }
        };
        stream.set_read_timeout(Some(SILENCE_LIMIT))?;
        stream.set_write_timeout(Some(SILENCE_LIMIT))?;
        Ok(stream)
    }

    /// Shows a notification, in place of the one with this number unless it is 0. Returns its number.
    ///
    /// # Errors
    /// There is no bus, or no notification service.
    pub(super) fn notify(&self, notification: &Notification, replaces: u32) -> io::Result<u32> {
        let stream = self.connect()?;
        let (mut writer, mut reader) = (&stream, BufReader::new(&stream));
        let user = HEXLOWER.encode(rustix::process::getuid().as_raw().to_string().as_bytes());
        // The zero may carry credentials where a socket has no others.
        writer.write_all(format!("\0AUTH EXTERNAL {user}\r\n").as_bytes())?;
        let mut line = Vec::new();
        reader.by_ref().take(MAX_TEXT as u64).read_until(b'\n', &mut line)?;
        if !line.starts_with(b"OK ") {
            return Err(io::Error::other("the session bus refuses this user"));
        }
        let mut calls = b"BEGIN\r\n".to_vec();
        calls.extend(hello());
        calls.extend(notify(notification, replaces));
        writer.write_all(&calls)?;
        for _ in 0..MAX_MESSAGES {
            let message = Message::read(&mut reader)?;
            if let Some(outcome) = message.outcome(NOTIFY) {
                return outcome.map_err(io::Error::other);
            }
        }
        Err(io::Error::other("the session bus does not answer"))
    }
}

/// Asks the bus for a name, which everybody must do first.
fn hello() -> Vec<u8> {
    call(HELLO, "org.freedesktop.DBus", "/org/freedesktop/DBus", "Hello", "", &[])
}

/// Shows a notification (Desktop Notifications Specification 1.2).
fn notify(notification: &Notification, replaces: u32) -> Vec<u8> {
    let Notification { summary, body, urgency, lasts, .. } = notification;
    let mut content = Marshaller::default();
    content.text(APPLICATION);
    content.number(replaces);
    content.text(APPLICATION);
    content.text(&shown(summary));
    content.text(&escaped(&shown(body)));
    // No actions.
    content.number(0);
    content.array(|hints| {
        hints.entry("urgency", "y", |hint| hint.byte(*urgency as u8));
        hints.entry("desktop-entry", "s", |hint| hint.text(APPLICATION));
        // What is over soon need not be in a list of what was missed.
        hints.entry("transient", "b", |hint| hint.number(u32::from(lasts.is_some())));
    });
    // -1: as long as others.
    let millis = lasts.map_or(-1, |lasts| i32::try_from(lasts.as_millis()).unwrap_or(i32::MAX));
    content.number(millis.cast_unsigned());
    let service = "org.freedesktop.Notifications";
    call(NOTIFY, service, "/org/freedesktop/Notifications", "Notify", "susssasa{sv}i", &content.into_bytes())
}

/// Text of others, without what steers, and not too long.
fn shown(text: &str) -> String {
    let mut characters = text.chars().map(|character| if character.is_control() { ' ' } else { character });
    let mut shown: String = characters.by_ref().take(MAX_TEXT).collect();
    if characters.next().is_some() {
        shown.push('\u{2026}');
    }
    shown
}

/// Bodies may have markup, links and pictures among it: what a relay says must not.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests;
