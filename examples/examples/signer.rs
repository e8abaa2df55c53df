//! A signer for `hvym-tunnel expose --signer`: it has the key, and asks whoever started it before it signs. docs/SIGNER.md is what it
//! speaks.
//!
//! `cargo run -p hvym-tunnel-examples --example signer -- ~/secret.key /tmp/signer.sock`, then
//! `hvym-tunnel expose 3000 --signer unix:/tmp/signer.sock`

use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::net::UnixListener;

use data_encoding::BASE64;
use ed25519_dalek::{Signer, SigningKey};
use hvym_tunnel_core::stellar::Address;
use serde_json::{Value, json};
use stellar_strkey::ed25519::PrivateKey;

type Error = Box<dyn std::error::Error + Send + Sync>;

fn main() -> Result<(), Error> {
    let (file, socket) = std::env::args()
        .nth(1)
        .zip(std::env::args().nth(2))
        .ok_or("give the file of a secret and a socket")?;
    let secret: PrivateKey =
        std::fs::read_to_string(file)?.trim().parse().map_err(|_| "that is no secret")?;
    // Who can open the socket can have things signed: put it into a folder of your own.
    let listener = UnixListener::bind(socket)?;
    serve(&listener, &SigningKey::from_bytes(&secret.0), asked)
}

/// Answers one question after another.
pub(crate) fn serve(
    listener: &UnixListener,
    key: &SigningKey,
    mut agrees: impl FnMut(&str) -> bool,
) -> Result<(), Error> {
    for connection in listener.incoming() {
        let connection = connection?;
        let mut line = String::new();
        BufReader::new(&connection).read_line(&mut line)?;
        let answer = match serde_json::from_str(&line) {
            Ok(question) => answer(&question, key, &mut agrees),
            Err(error) => json!({ "refused": error.to_string() }),
        };
        // Who asked may be gone.
        let _gone = writeln!(&connection, "{answer}");
    }
    Ok(())
}

fn answer(question: &Value, key: &SigningKey, agrees: &mut impl FnMut(&str) -> bool) -> Value {
    let address = Address::from_public_key(key.verifying_key().to_bytes());
    let text = question["text"].as_str().unwrap_or_default();
    match question["ask"].as_str() {
        // It asks a person, so once a day is enough: a delegation, and no login.
        Some("address") => json!({ "address": address, "delegate_days": 1 }),
        Some(what @ ("login" | "delegation")) if agrees(&format!("sign this {what}?\n{text}\n")) => {
            json!({ "signature": BASE64.encode(&key.sign(text.as_bytes()).to_bytes()) })
        }
        Some("login" | "delegation") => json!({ "refused": "the owner said no" }),
        _ => json!({ "refused": "I know no such question" }),
    }
}

fn asked(question: &str) -> bool {
    eprint!("{question}[y/N] ");
    let mut answer = String::new();
    io::stdin().read_line(&mut answer).is_ok() && answer.trim() == "y"
}
