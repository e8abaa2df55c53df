//! The JSON codec of control messages: one object, whose member `type` selects the others.
//!
//! A message is scanned for its type first and then decoded, since the type may be the last member.

use alloc::string::String;

use super::{DrainScope, OnConflict, Process, Proto, SessionRole, SessionTerms, ShownProof, Signal};
use crate::json::{Field, FieldReader, JsonError, Object, Value, fields};

/// The `scope` of a [`Signal::Drain`] that is about one link.
const SCOPE_LINK: &str = "link";
/// The types of messages that only agents send.
const AGENT_KINDS: [&str; 5] = ["auth_response", "bind", "unbind", "claim", "revoke"];
/// The types of messages that only relays send.
const RELAY_KINDS: [&str; 13] = [
    "auth_challenge",
    "auth_ok",
    "auth_failed",
    "bind_ok",
    "bind_failed",
    "unbind_ok",
    "unbound",
    "revoke_ok",
    "revoke_failed",
    "claim_ok",
    "claim_failed",
    "drain",
    "links",
];

impl Proto {
    /// Its name on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Proto::Http => "http",
            Proto::Tcp => "tcp",
            Proto::H2 => "h2",
        }
    }

    /// The protocol of this name, if this version knows it.
    pub fn named(name: &str) -> Option<Self> {
        [Proto::Http, Proto::Tcp, Proto::H2].into_iter().find(|proto| proto.name() == name)
    }
}

impl Signal {
    /// Decodes a message of either side.
    ///
    /// # Errors
    /// [`JsonError`]: not an object with a `type`, or members of the wrong types.
    pub fn from_json(json: &[u8]) -> Result<Self, JsonError> {
        match Self::from_relay(json)? {
            Signal::Misdirected(_) => Self::from_agent(json),
            signal => Ok(signal),
        }
    }

    /// Decodes a message of a relay. An agent needs no other, and a page does not load what reads them.
    ///
    /// # Errors
    /// As for [`Self::from_json`].
    pub fn from_relay(json: &[u8]) -> Result<Self, JsonError> {
        read(json, &AGENT_KINDS, |kind, json, reader| match kind {
            "auth_challenge" => read_challenge(json, reader),
            "auth_ok" => read_ok(json, reader),
            "auth_failed" => read_auth_failed(json, reader),
            "bind_ok" => read_bind_ok(json, reader),
            "bind_failed" | "claim_failed" | "revoke_failed" => read_refusal(kind, json, reader),
            "unbind_ok" => Ok(Signal::UnbindOk { service: read_name(json, "service", reader)? }),
            "unbound" => read_unbound(json, reader),
            "revoke_ok" => {
                let [id, persisted] = fields(json, ["id", "persisted"])?;
                let persisted = reader.take(persisted.or(false, Field::boolean));
                Ok(Signal::RevokeOk { id: reader.text(id), persisted })
            }
            "claim_ok" => {
                let [name, url] = fields(json, ["name", "url"])?;
                Ok(Signal::ClaimOk { name: reader.text(name), url: reader.text(url) })
            }
            "drain" => read_drain(json, reader),
            "links" => {
                let [wanted] = fields(json, ["wanted"])?;
                Ok(Signal::Links { wanted: reader.take(wanted.or(0, Field::integer)) })
            }
            _ => read_common(kind, json, reader),
        })
    }

    /// Decodes a message of an agent.
    ///
    /// # Errors
    /// As for [`Self::from_json`].
    pub fn from_agent(json: &[u8]) -> Result<Self, JsonError> {
        read(json, &RELAY_KINDS, |kind, json, reader| match kind {
            "auth_response" => read_response(json, reader),
            "bind" => read_bind(json, reader),
            "unbind" => Ok(Signal::Unbind { service: read_name(json, "service", reader)? }),
            "claim" => Ok(Signal::Claim { name: read_name(json, "name", reader)? }),
            "revoke" => {
                let [id, until] = fields(json, ["id", "until"])?;
                let until = reader.optional_integer(until);
                Ok(Signal::Revoke { id: reader.text(id), until })
            }
            _ => read_common(kind, json, reader),
        })
    }

    /// The JSON of this message.
    pub fn to_json(&self) -> String {
        let mut object = Object::new();
        object.put("type", Value::Text(self.kind()));
        self.write_login(&mut object);
        self.write_service(&mut object);
        match self {
            Signal::Revoke { id, until } => {
                object.put("id", Value::Text(id));
                object.put_some("until", *until);
            }
            Signal::RevokeOk { id, persisted } => {
                object.put("id", Value::Text(id));
                object.put("persisted", Value::Boolean(*persisted));
            }
            Signal::RevokeFailed { id, code, error } => {
                object.put("id", Value::Text(id));
                object.put("code", Value::Text(code));
                object.put("error", Value::Text(error));
            }
            Signal::Ping { id } | Signal::Pong { id } => object.put_some("id", *id),
            Signal::Drain { reason, deadline_ms, scope } => {
                object.put("reason", Value::Text(reason));
                object.put("deadline_ms", Value::Integer(*deadline_ms));
                if *scope == DrainScope::Link {
                    object.put("scope", Value::Text(SCOPE_LINK));
                }
            }
            Signal::Links { wanted } => object.put("wanted", Value::Integer((*wanted).into())),
            Signal::Error { code, message, hint } => {
                object.put("code", Value::Text(code));
                object.put("message", Value::Text(message));
                object.put_some("hint", hint);
            }
            _ => {}
        }
        object.finish()
    }

    /// The members of a message of the login.
    fn write_login(&self, object: &mut Object) {
        match self {
            Signal::AuthChallenge { challenge_id, challenge, server_address, mux, version, shown } => {
                object.put("challenge_id", Value::Text(challenge_id));
                object.put("challenge", Value::Text(challenge));
                object.put("server_address", Value::Text(server_address));
                object.put("mux", Value::Texts(mux));
                object.put("version", Value::from(*version));
                write_shown(object, shown);
            }
            Signal::AuthResponse { challenge_id, jwt, mux, version, join, streams, process } => {
                object.put("challenge_id", Value::from(challenge_id));
                object.put("jwt", Value::from(jwt));
                object.put_some("mux", mux);
                object.put_some("version", *version);
                object.put_some("join", join);
                object.put_some("streams", *streams);
                object.put_some("instance", &process.instance);
                if process.role == SessionRole::Caller {
                    object.put("role", Value::Text(SessionRole::CALLER));
                }
                object.put_some("process", &process.label);
            }
            Signal::AuthOk {
                endpoint,
                server_address,
                services,
                mux,
                version,
                terms,
                challenge,
                shown,
                encryption_available,
                encryption_mode,
            } => {
                object.put("endpoint", Value::Text(endpoint));
                object.put("server_address", Value::Text(server_address));
                object.put("services", Value::Texts(services));
                object.put_some("mux", mux);
                object.put_some("version", *version);
                object.put_some("session", &terms.session);
                object.put_some("links", terms.links);
                object.put_some("streams", terms.streams);
                object.put_some("challenge", challenge);
                write_shown(object, shown);
                object.put_some(
                    "encryption_available",
                    encryption_available.map_or(Value::Null, Value::Boolean),
                );
                object.put_some("encryption_mode", encryption_mode);
            }
            Signal::AuthFailed { code, error, time } => {
                object.put("code", Value::from(code));
                object.put("error", Value::Text(error));
                object.put_some("time", *time);
            }
            _ => {}
        }
    }

    /// The members of a message about one service or name.
    fn write_service(&self, object: &mut Object) {
        match self {
            Signal::Bind { service, local_port, proto, public, on_conflict } => {
                object.put("service", Value::Text(service));
                object.put_some("local_port", *local_port);
                object.put_some("proto", proto.map_or(Value::Null, |proto| Value::Text(proto.name())));
                // The default is omitted, for relays that do not know the member.
                if !public {
                    object.put("public", Value::Boolean(false));
                }
                let mode = on_conflict.filter(|mode| *mode != OnConflict::default());
                object.put_some("on_conflict", mode.map_or(Value::Null, |mode| Value::Text(mode.name())));
            }
            Signal::BindOk { service, local_port: _, url, port } => {
                object.put("service", Value::Text(service));
                object.put("url", Value::from(url));
                object.put_some("port", *port);
            }
            Signal::BindFailed { service, code, error } => {
                object.put("service", Value::Text(service));
                object.put("code", Value::Text(code));
                object.put("error", Value::Text(error));
            }
            Signal::Unbind { service } | Signal::UnbindOk { service } => {
                object.put("service", Value::Text(service));
            }
            Signal::Claim { name } => object.put("name", Value::Text(name)),
            Signal::ClaimOk { name, url } => {
                object.put("name", Value::Text(name));
                object.put("url", Value::Text(url));
            }
            Signal::ClaimFailed { name, code, error } => {
                object.put("name", Value::Text(name));
                object.put("code", Value::Text(code));
                object.put("error", Value::Text(error));
            }
            Signal::Unbound { service, code, by } => {
                object.put("service", Value::Text(service));
                object.put("code", Value::Text(code));
                object.put_some("by", by);
            }
            _ => {}
        }
    }
}

fn write_shown(object: &mut Object, ShownProof { host, proof }: &ShownProof) {
    object.put_some("host", host);
    object.put_some("proof", proof);
}

/// Reads a message by `read_kind`. A type among `misdirected` is not read: only this side sends it.
fn read(
    json: &[u8],
    misdirected: &[&'static str],
    read_kind: impl FnOnce(&str, &[u8], &mut FieldReader) -> Result<Signal, JsonError>,
) -> Result<Signal, JsonError> {
    let [kind] = fields(json, ["type"])?;
    let (kind, mut reader) = (kind.text()?, FieldReader::default());
    if let Some(kind) = misdirected.iter().find(|known| **known == kind) {
        return Ok(Signal::Misdirected(kind));
    }
    let signal = read_kind(&kind, json, &mut reader)?;
    reader.finish(signal)
}

/// What either side says.
fn read_common(kind: &str, json: &[u8], reader: &mut FieldReader) -> Result<Signal, JsonError> {
    Ok(match kind {
        "ping" | "pong" => {
            let [id] = fields(json, ["id"])?;
            let id = reader.optional_integer(id);
            if kind == "ping" { Signal::Ping { id } } else { Signal::Pong { id } }
        }
        "drained" => Signal::Drained,
        "error" => read_error(json, reader)?,
        _ => Signal::Unknown,
    })
}

/// A message whose only member is a name.
fn read_name(json: &[u8], member: &'static str, reader: &mut FieldReader) -> Result<String, JsonError> {
    let [name] = fields(json, [member])?;
    Ok(reader.text(name))
}

fn read_auth_failed(json: &[u8], reader: &mut FieldReader) -> Result<Signal, JsonError> {
    let [code, error, time] = fields(json, ["code", "error", "time"])?;
    let (code, error) = (reader.optional_text(code), reader.text_or_empty(error));
    Ok(Signal::AuthFailed { code, error, time: reader.optional_integer(time) })
}

fn read_bind_ok(json: &[u8], reader: &mut FieldReader) -> Result<Signal, JsonError> {
    let [service, url, port] = fields(json, ["service", "url", "port"])?;
    let (url, port) = (reader.optional_text(url), reader.optional_integer(port));
    Ok(Signal::BindOk { service: reader.text(service), local_port: None, url, port })
}

fn read_unbound(json: &[u8], reader: &mut FieldReader) -> Result<Signal, JsonError> {
    let [service, code, by] = fields(json, ["service", "code", "by"])?;
    let (code, by) = (reader.text_or_empty(code), reader.optional_text(by));
    Ok(Signal::Unbound { service: reader.text(service), code, by })
}

fn read_drain(json: &[u8], reader: &mut FieldReader) -> Result<Signal, JsonError> {
    let [reason, deadline, scope] = fields(json, ["reason", "deadline_ms", "scope"])?;
    let deadline_ms = reader.take(deadline.or(0, Field::integer));
    let (reason, scope) = (reader.text_or_empty(reason), reader.text_or_empty(scope));
    let scope = if scope == SCOPE_LINK { DrainScope::Link } else { DrainScope::Session };
    Ok(Signal::Drain { reason, deadline_ms, scope })
}

/// A service, a name or a revocation that is refused.
fn read_refusal(kind: &str, json: &[u8], reader: &mut FieldReader) -> Result<Signal, JsonError> {
    let subject = match kind {
        "bind_failed" => "service",
        "claim_failed" => "name",
        _ => "id",
    };
    let [subject, code, error] = fields(json, [subject, "code", "error"])?;
    let (subject, code, error) =
        (reader.text(subject), reader.text_or_empty(code), reader.text_or_empty(error));
    Ok(match kind {
        "bind_failed" => Signal::BindFailed { service: subject, code, error },
        "claim_failed" => Signal::ClaimFailed { name: subject, code, error },
        _ => Signal::RevokeFailed { id: subject, code, error },
    })
}

fn read_challenge(json: &[u8], reader: &mut FieldReader) -> Result<Signal, JsonError> {
    let [challenge_id, challenge, server_address, mux, version, host, proof] =
        fields(json, ["challenge_id", "challenge", "server_address", "mux", "version", "host", "proof"])?;
    Ok(Signal::AuthChallenge {
        challenge_id: reader.text(challenge_id),
        challenge: reader.text(challenge),
        server_address: reader.text(server_address),
        mux: reader.texts_or_empty(mux),
        version: reader.optional_integer(version),
        shown: ShownProof { host: reader.optional_text(host), proof: reader.optional_text(proof) },
    })
}

fn read_response(json: &[u8], reader: &mut FieldReader) -> Result<Signal, JsonError> {
    let [challenge_id, jwt, mux, version, join, streams] =
        fields(json, ["challenge_id", "jwt", "mux", "version", "join", "streams"])?;
    let process = read_process(json, reader)?;
    Ok(Signal::AuthResponse {
        challenge_id: reader.optional_text(challenge_id),
        jwt: reader.optional_text(jwt),
        mux: reader.optional_text(mux),
        version: reader.optional_integer(version),
        join: reader.optional_text(join),
        streams: reader.optional_integer(streams),
        process,
    })
}

fn read_process(json: &[u8], reader: &mut FieldReader) -> Result<Process, JsonError> {
    let [instance, role, label] = fields(json, ["instance", "role", "process"])?;
    let role = reader.text_or_empty(role);
    Ok(Process {
        instance: reader.optional_text(instance),
        role: SessionRole::named(&role),
        label: reader.optional_text(label),
    })
}

fn read_ok(json: &[u8], reader: &mut FieldReader) -> Result<Signal, JsonError> {
    let [endpoint, server_address, services, mux, version] =
        fields(json, ["endpoint", "server_address", "services", "mux", "version"])?;
    let [session, links, streams] = fields(json, ["session", "links", "streams"])?;
    let [challenge, host, proof] = fields(json, ["challenge", "host", "proof"])?;
    let [available, mode] = fields(json, ["encryption_available", "encryption_mode"])?;
    Ok(Signal::AuthOk {
        endpoint: reader.text(endpoint),
        server_address: reader.text(server_address),
        services: reader.texts_or_empty(services),
        mux: reader.optional_text(mux),
        version: reader.optional_integer(version),
        terms: SessionTerms {
            session: reader.optional_text(session),
            links: reader.optional_integer(links),
            streams: reader.optional_integer(streams),
        },
        challenge: reader.optional_text(challenge),
        shown: ShownProof { host: reader.optional_text(host), proof: reader.optional_text(proof) },
        encryption_available: reader.take(available.optional(Field::boolean)),
        encryption_mode: reader.optional_text(mode),
    })
}

fn read_error(json: &[u8], reader: &mut FieldReader) -> Result<Signal, JsonError> {
    let [code, message, hint] = fields(json, ["code", "message", "hint"])?;
    let (code, message) = (reader.text_or_empty(code), reader.text_or_empty(message));
    Ok(Signal::Error { code, message, hint: reader.optional_text(hint) })
}

fn read_bind(json: &[u8], reader: &mut FieldReader) -> Result<Signal, JsonError> {
    let [service, local_port, proto, public, on_conflict] =
        fields(json, ["service", "local_port", "proto", "public", "on_conflict"])?;
    // A protocol that only newer peers know is kept as `None`: the service is refused, the link goes on.
    let known = |proto: Field<'_>| proto.text().map(|name| Proto::named(&name));
    let mode = |mode: Field<'_>| mode.text().map(|name| OnConflict::named(&name));
    Ok(Signal::Bind {
        service: reader.text(service),
        local_port: reader.optional_integer(local_port),
        proto: reader.take(proto.or(Some(Proto::default()), known)),
        public: reader.take(public.or(true, Field::boolean)),
        on_conflict: reader.take(on_conflict.or(Some(OnConflict::default()), mode)),
    })
}
