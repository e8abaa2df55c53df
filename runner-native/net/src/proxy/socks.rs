//! The SOCKS 5 handshake (RFC 1928), with user name and password if the proxy requires them (RFC 1929).

use std::net::{IpAddr, SocketAddr};

use futures_util::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use zeroize::Zeroizing;

use super::{Login, ProxyFault};
use crate::error_text::words;

const VERSION: u8 = 5;
/// The version of the user name and password sub-negotiation (RFC 1929 section 2).
const LOGIN_VERSION: u8 = 1;
const NO_LOGIN: u8 = 0;
const USER_AND_PASSWORD: u8 = 2;
const NO_METHOD: u8 = 0xff;
const CONNECT: u8 = 1;
const IPV4: u8 = 1;
const NAME: u8 = 3;
const IPV6: u8 = 4;

/// Requests a connection to `host` and `port`. The proxy resolves the name if `resolves`, else this machine.
pub(super) async fn open(
    wire: &mut (impl AsyncRead + AsyncWrite + Unpin),
    host: &str,
    port: u16,
    resolves: bool,
    login: Option<&Login>,
) -> Result<(), ProxyFault> {
    let place = place(host, port, resolves).await?;
    let methods: &[u8] =
        if login.is_some() { &[VERSION, 2, NO_LOGIN, USER_AND_PASSWORD] } else { &[VERSION, 1, NO_LOGIN] };
    let [version, method] = ask(wire, methods).await?;
    match (version, method, login) {
        (VERSION, NO_LOGIN, _) => {}
        (VERSION, USER_AND_PASSWORD, Some(login)) => authenticate(wire, login).await?,
        (VERSION, NO_METHOD, None) => return Err(ProxyFault::LoginWanted),
        (VERSION, NO_METHOD, Some(_)) => return Err(ProxyFault::LoginRefused),
        (VERSION, ..) => return Err(ProxyFault::Foreign("it wants what was not offered")),
        _ => return Err(ProxyFault::Foreign("its answer is no SOCKS 5")),
    }
    let request = [&[VERSION, CONNECT, 0], place.as_slice()].concat();
    let [version, reply, _, kind] = ask(wire, &request).await?;
    match (version, reply) {
        (VERSION, 0) => {}
        (VERSION, reply) => return Err(ProxyFault::Refused(refusal(reply))),
        _ => return Err(ProxyFault::Foreign("its answer is no SOCKS 5")),
    }
    // The bound address, which is not used, but must be read.
    let length = match kind {
        IPV4 => 4,
        IPV6 => 16,
        NAME => {
            let mut length = [0];
            wire.read_exact(&mut length).await?;
            usize::from(length[0])
        }
        _ => return Err(ProxyFault::Foreign("its answer is no SOCKS 5")),
    };
    let mut from = vec![0; length + 2];
    wire.read_exact(&mut from).await?;
    Ok(())
}

/// Kind, address and port, as they go into a request.
async fn place(host: &str, port: u16, resolves: bool) -> Result<Vec<u8>, ProxyFault> {
    let mut place = match (host.parse(), u8::try_from(host.len())) {
        (Ok(ip), _) => address(ip),
        (Err(_), Ok(length)) if resolves => [&[NAME, length], host.as_bytes()].concat(),
        (Err(_), Err(_)) => return Err(ProxyFault::Refused("the name of the relay is too long".to_owned())),
        (Err(_), Ok(_)) => {
            let found = smol::net::resolve((host, port)).await;
            let found = found.map_err(|error| ProxyFault::Refused(words(&error)))?;
            let ip = found.first().map(SocketAddr::ip);
            address(ip.ok_or_else(|| ProxyFault::Refused("its name has no address".to_owned()))?)
        }
    };
    place.extend_from_slice(&port.to_be_bytes());
    Ok(place)
}

fn address(ip: IpAddr) -> Vec<u8> {
    match ip {
        IpAddr::V4(ip) => [&[IPV4], ip.octets().as_slice()].concat(),
        IpAddr::V6(ip) => [&[IPV6], ip.octets().as_slice()].concat(),
    }
}

async fn authenticate(
    wire: &mut (impl AsyncRead + AsyncWrite + Unpin),
    login: &Login,
) -> Result<(), ProxyFault> {
    let (user, password) = (login.user.as_bytes(), login.password.as_bytes());
    let (Ok(users), Ok(passwords)) = (u8::try_from(user.len()), u8::try_from(password.len())) else {
        return Err(ProxyFault::LoginRefused);
    };
    let request = [&[LOGIN_VERSION, users], user, &[passwords], password].concat();
    match ask(wire, &Zeroizing::new(request)).await? {
        [LOGIN_VERSION, 0] => Ok(()),
        [LOGIN_VERSION, _] => Err(ProxyFault::LoginRefused),
        _ => Err(ProxyFault::Foreign("its answer is no SOCKS 5")),
    }
}

/// Sends a message, and reads an answer of this length.
async fn ask<const N: usize>(
    wire: &mut (impl AsyncRead + AsyncWrite + Unpin),
    question: &[u8],
) -> Result<[u8; N], ProxyFault> {
    wire.write_all(question).await?;
    wire.flush().await?;
    let mut answer = [0; N];
    wire.read_exact(&mut answer).await?;
    Ok(answer)
}

/// RFC 1928 section 6.
fn refusal(reply: u8) -> String {
    let words = match reply {
        2 => "its rules do not allow it",
        3 => "the network is unreachable",
        4 => "the host is unreachable",
        5 => "the connection was refused",
        6 => "it took too long",
        7 => "it makes no connections",
        8 => "it cannot use this kind of address",
        _ => "it failed",
    };
    format!("{words} (SOCKS reply {reply})")
}
