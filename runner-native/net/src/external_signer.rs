//! Another program that signs: a wallet, a security key, an agent of keys. It is asked by lines of JSON, at a Unix socket or at the
//! standard input of a program that is started for each question.
//!
//! No secret passes here, and what was asked is not logged. There is one question at a time, since a person may have to answer it.

use std::io::{self, Read, Write};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use data_encoding::BASE64;
use hvym_tunnel_core::stellar::delegation::{Delegation, SignatureForm, SignedDelegation};
use hvym_tunnel_core::stellar::{Address, Signature, SigningInput};
use serde_json::{Value, json};
use thiserror::Error;

/// How long an answer may take. A login waits as long.
pub const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
/// The longest answer, bytes: a signature in base64 with a sentence has a tenth of it.
const MAX_ANSWER_BYTES: usize = 4 * 1024;
/// The most days that a signer may ask for: those of a delegation.
const MAX_DAYS: f64 = 366.0;
/// Seconds of a day.
const DAY: f64 = 24.0 * 3600.0;

/// How the place of a signer at a Unix socket begins, where it is written as a text.
pub const SOCKET_PREFIX: &str = "unix:";

/// Where the signer is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum SignerPlace {
    /// At a Unix socket.
    Socket(PathBuf),
    /// It is a program with these arguments, which is started for each question.
    Command(Vec<String>),
}

/// Why there is no signature. A no of the signer is [`SignerError::Refused`]; nothing asks again after any of these.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum SignerError {
    /// It is not there.
    #[error("the signer cannot be reached: {0}")]
    Unreachable(String),
    /// It says no.
    #[error("the signer refused: {0}")]
    Refused(String),
    /// It says nothing in time.
    #[error("the signer did not answer within {} s", ANSWER_TIMEOUT.as_secs())]
    TimedOut,
    /// It says something else than its protocol has.
    #[error("the signer's answer is not understood: {0}")]
    Malformed(&'static str),
    /// Another key signed than that of the address that it named.
    #[error("the signer signed with another key than that of {0}")]
    OtherKey(Address),
}

/// A signer that has said whose key it has.
#[derive(Debug)]
pub struct ExternalSigner {
    place: SignerPlace,
    address: Address,
    delegate_for: Option<Duration>,
    /// Held while a question is open.
    asking: Mutex<()>,
}

impl ExternalSigner {
    /// Asks the signer whose key it has. Blocks until it answers.
    ///
    /// # Errors
    /// [`SignerError`]
    pub fn connect(place: SignerPlace) -> Result<Self, SignerError> {
        let answer = ask(&place, &json!({ "version": 1, "ask": "address" }))?;
        let address = text(&answer, "address").and_then(|address| address.parse().ok());
        let address = address.ok_or(SignerError::Malformed("it names no address"))?;
        let delegate_for = match answer.get("delegate_days") {
            None | Some(Value::Null) => None,
            Some(days) => match days.as_f64().filter(|days| *days <= MAX_DAYS).map(|days| days * DAY) {
                Some(seconds) if seconds >= 1.0 => Some(Duration::from_secs_f64(seconds.round())),
                _ => return Err(SignerError::Malformed("delegate_days is not a second to 366 days")),
            },
        };
        Ok(Self { place, address, delegate_for, asking: Mutex::new(()) })
    }

    /// Whose key it has.
    pub fn address(&self) -> Address {
        self.address
    }

    /// For how long it lets another key sign in its place, in whole seconds, if it does not want to be asked for every login.
    pub fn delegate_for(&self) -> Option<Duration> {
        self.delegate_for
    }

    /// The signature of a login or a token, by the key of [`Self::address`]. Blocks until it answers.
    ///
    /// # Errors
    /// [`SignerError`]
    pub fn sign(&self, input: &SigningInput) -> Result<Signature, SignerError> {
        let text = String::from_utf8_lossy(input.as_bytes());
        let answer =
            self.ask(&json!({ "version": 1, "ask": "login", "address": self.address, "text": text }))?;
        let signature = signature(&answer)?;
        // Whose it is, the token tells.
        input.clone().into_token(signature).map_err(|_| SignerError::OtherKey(self.address))?;
        Ok(signature)
    }

    /// The delegation with its owner's signature. Blocks until it answers.
    ///
    /// # Errors
    /// [`SignerError`]
    pub fn delegate(&self, delegation: Delegation) -> Result<SignedDelegation, SignerError> {
        let text = delegation.to_string();
        let answer =
            self.ask(&json!({ "version": 1, "ask": "delegation", "address": self.address, "text": text }))?;
        let form = match answer.get("form").and_then(Value::as_str) {
            None | Some("raw") => SignatureForm::Raw,
            Some("sep53") => SignatureForm::Sep53,
            Some(_) => return Err(SignerError::Malformed("its form is neither raw nor sep53")),
        };
        let signed = delegation.signed(signature(&answer)?, form);
        signed.clone().verify().map_err(|_| SignerError::OtherKey(self.address))?;
        Ok(signed)
    }

    fn ask(&self, question: &Value) -> Result<Value, SignerError> {
        let _alone = self.asking.lock().unwrap_or_else(PoisonError::into_inner);
        ask(&self.place, question)
    }
}

fn text<'a>(answer: &'a Value, name: &str) -> Option<&'a str> {
    answer.get(name).and_then(Value::as_str)
}

fn signature(answer: &Value) -> Result<Signature, SignerError> {
    let wrong = SignerError::Malformed("its signature is not 64 bytes in base64");
    let bytes = text(answer, "signature").and_then(|text| BASE64.decode(text.as_bytes()).ok());
    bytes.and_then(|bytes| bytes.try_into().ok()).map(Signature).ok_or(wrong)
}

/// The answer to a question, unless it is a no.
fn ask(place: &SignerPlace, question: &Value) -> Result<Value, SignerError> {
    let (line, deadline) = (format!("{question}\n"), Instant::now() + ANSWER_TIMEOUT);
    let answer = match place {
        SignerPlace::Socket(path) => ask_socket(path, line.as_bytes(), deadline)?,
        SignerPlace::Command(command) => ask_command(command, line.into_bytes(), deadline)?,
    };
    let answer: Value =
        serde_json::from_slice(&answer).map_err(|_| SignerError::Malformed("it is no line of JSON"))?;
    if !answer.is_object() {
        return Err(SignerError::Malformed("it is no object"));
    }
    match answer.get("refused") {
        None => Ok(answer),
        Some(why) => Err(SignerError::Refused(why.as_str().unwrap_or("it does not say why").to_owned())),
    }
}

/// Reads up to the end of a line. `before` is called before each read.
fn read_line(
    mut from: impl Read,
    mut before: impl FnMut() -> Result<(), SignerError>,
) -> Result<Vec<u8>, SignerError> {
    let mut line = Vec::new();
    let mut room = [0; 512];
    loop {
        before()?;
        let count = match from.read(&mut room) {
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(failed(&error)),
        };
        let end = room[..count].iter().position(|byte| *byte == b'\n');
        line.extend_from_slice(&room[..end.unwrap_or(count)]);
        match (end, count) {
            _ if line.len() > MAX_ANSWER_BYTES => {
                return Err(SignerError::Malformed("it is longer than 4 KiB"));
            }
            (Some(_), _) => return Ok(line),
            (None, 0) if line.is_empty() => {
                return Err(SignerError::Unreachable("it ended without an answer".to_owned()));
            }
            (None, 0) => return Ok(line),
            (None, _) => {}
        }
    }
}

fn failed(error: &io::Error) -> SignerError {
    match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => SignerError::TimedOut,
        _ => SignerError::Unreachable(error.to_string()),
    }
}

#[cfg(unix)]
fn ask_socket(path: &std::path::Path, line: &[u8], deadline: Instant) -> Result<Vec<u8>, SignerError> {
    use std::os::unix::net::UnixStream;
    let mut socket = UnixStream::connect(path)
        .map_err(|error| SignerError::Unreachable(format!("{}: {error}", path.display())))?;
    let left = || {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() { Err(SignerError::TimedOut) } else { Ok(Some(left)) }
    };
    socket
        .set_write_timeout(left()?)
        .and_then(|()| socket.write_all(line))
        .map_err(|error| failed(&error))?;
    read_line(&socket, || socket.set_read_timeout(left()?).map_err(|error| failed(&error)))
}

#[cfg(not(unix))]
fn ask_socket(_path: &std::path::Path, _line: &[u8], _deadline: Instant) -> Result<Vec<u8>, SignerError> {
    Err(SignerError::Unreachable("this system has no Unix sockets".to_owned()))
}

fn ask_command(words: &[String], line: Vec<u8>, deadline: Instant) -> Result<Vec<u8>, SignerError> {
    let nothing = || SignerError::Unreachable("no program is named".to_owned());
    let (program, arguments) = words.split_first().ok_or_else(nothing)?;
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| SignerError::Unreachable(format!("{program}: {error}")))?;
    let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
    let (sender, answer) = channel();
    let talk = move || {
        let answer = match (stdin, stdout) {
            (Some(mut stdin), Some(stdout)) => {
                // A program that has its answer ready reads nothing.
                let _unread = stdin.write_all(&line);
                drop(stdin);
                read_line(stdout, || Ok(()))
            }
            _ => Err(SignerError::Unreachable("it has no pipes".to_owned())),
        };
        // Nobody waits for it once its time is over.
        let _late = sender.send(answer);
    };
    let begun = std::thread::Builder::new().name("signer".to_owned()).spawn(talk);
    let answer = match begun {
        Ok(_) => answer.recv_timeout(deadline.saturating_duration_since(Instant::now())),
        Err(error) => Ok(Err(SignerError::Unreachable(error.to_string()))),
    };
    let answer = match answer {
        Ok(answer) => answer,
        Err(RecvTimeoutError::Timeout) => Err(SignerError::TimedOut),
        Err(RecvTimeoutError::Disconnected) => Err(SignerError::Unreachable("it ended".to_owned())),
    };
    reap(child, answer.is_err());
    answer
}

/// Waits for the end of a program without anybody waiting for that.
fn reap(mut child: Child, is_failed: bool) {
    if is_failed {
        let _ended = child.kill();
    }
    let waited = std::thread::Builder::new().name("signer-end".to_owned()).spawn(move || child.wait());
    if let Err(error) = waited {
        tracing::debug!(%error, "nobody waits for the end of the signer");
    }
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use super::*;
    use crate::key::Identity;

    fn shell(line: &str) -> SignerPlace {
        SignerPlace::Command(["sh", "-c", line].map(str::to_owned).into())
    }

    fn command(line: &str) -> SignerPlace {
        shell(&format!("read question; printf '%s\\n' '{line}'"))
    }

    fn connected(line: &str) -> Result<ExternalSigner, SignerError> {
        ExternalSigner::connect(command(line))
    }

    #[test]
    fn a_signer_says_whose_key_it_has_and_for_how_long_it_delegates() {
        let address = Identity::generate().expect("randomness").address();
        let signer = connected(&format!(r#"{{"address":"{address}"}}"#)).expect("a signer");
        assert_eq!((signer.address(), signer.delegate_for()), (address, None));
        for (days, understood) in [
            ("1", Some(86_400)),
            ("0.5", Some(43_200)),
            ("0.00001158", Some(1)),
            ("0.00001157", None),
            ("0", None),
            ("-1", None),
            ("366", Some(366 * 86_400)),
            ("366.1", None),
            ("\"7\"", None),
        ] {
            let signer = connected(&format!(r#"{{"address":"{address}","delegate_days":{days}}}"#));
            let understands = signer.ok().and_then(|signer| signer.delegate_for());
            assert_eq!(understands, understood.map(Duration::from_secs), "{days}");
        }
    }

    #[test]
    fn what_is_no_answer_is_an_error_and_a_no_is_a_no() {
        let error = |line: &str| connected(line).err();
        assert_eq!(error(r#"{"refused":"not today"}"#), Some(SignerError::Refused("not today".to_owned())));
        assert_eq!(
            error(r#"{"refused":true}"#),
            Some(SignerError::Refused("it does not say why".to_owned()))
        );
        for line in ["", "hello", "[]", r#"{"address":"GABC"}"#, "{}"] {
            assert!(matches!(error(line), Some(SignerError::Malformed(_))), "{line}");
        }
        let silent = ExternalSigner::connect(shell("exec true")).err();
        assert!(matches!(silent, Some(SignerError::Unreachable(_))), "{silent:?}");
        let endless = ExternalSigner::connect(shell("yes xxxxxxxxxxxxxxxxxxxxx | tr -d '\\n'")).err();
        assert_eq!(endless, Some(SignerError::Malformed("it is longer than 4 KiB")));
        let nowhere = ExternalSigner::connect(SignerPlace::Socket("/nonexistent/signer".into())).err();
        assert!(matches!(nowhere, Some(SignerError::Unreachable(_))), "{nowhere:?}");
    }
}
