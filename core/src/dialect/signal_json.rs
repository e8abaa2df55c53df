//! How the native dialect spells the control vocabulary: one JSON object, whose member `type` says what the others are.
//!
//! The type is looked for first, and then the text is read again, because the type may stand behind what it explains.
//! What a message means is not known here.

use alloc::string::String;
use alloc::vec::Vec;

use super::{Proto, Signal};
use crate::json::{Field, JsonError, Object, Value, fields};

impl Proto {
    /// Its name on the wire.
    pub(super) fn name(self) -> &'static str {
        match self {
            Proto::Http => "http",
            Proto::Tcp => "tcp",
            Proto::H2 => "h2",
        }
    }

    /// What has this name, if it is known here.
    pub(super) fn named(name: &str) -> Option<Self> {
        [Proto::Http, Proto::Tcp, Proto::H2].into_iter().find(|proto| proto.name() == name)
    }
}

impl Signal {
    /// The message that `json` spells.
    ///
    /// # Errors
    /// It is no object with a `type`, or its members have the wrong types.
    pub fn from_json(json: &[u8]) -> Result<Self, JsonError> {
        let [kind] = fields(json, ["type"])?;
        let kind = kind.text()?;
        match kind.as_str() {
            "auth_challenge" => read_challenge(json),
            "auth_response" => read_response(json),
            "auth_ok" => read_ok(json),
            "auth_failed" => {
                let [code, error, time] = fields(json, ["code", "error", "time"])?;
                let (code, error) = (code.optional(Field::text)?, text_or_empty(error)?);
                Ok(Signal::AuthFailed { code, error, time: time.optional(Field::integer)? })
            }
            "bind" => read_bind(json),
            "bind_ok" => read_bind_ok(json),
            "bind_failed" => {
                let [service, code, error] = fields(json, ["service", "code", "error"])?;
                let (code, error) = (text_or_empty(code)?, text_or_empty(error)?);
                Ok(Signal::BindFailed { service: service.text()?, code, error })
            }
            "unbind" | "unbind_ok" => {
                let [service] = fields(json, ["service"])?;
                let service = service.text()?;
                Ok(if kind == "unbind" { Signal::Unbind { service } } else { Signal::UnbindOk { service } })
            }
            "ping" | "pong" => {
                let [id] = fields(json, ["id"])?;
                let id = id.optional(Field::integer)?;
                Ok(if kind == "ping" { Signal::Ping { id } } else { Signal::Pong { id } })
            }
            "drain" => {
                let [reason, deadline] = fields(json, ["reason", "deadline_ms"])?;
                let deadline_ms = deadline.or(0, Field::integer)?;
                Ok(Signal::Drain { reason: text_or_empty(reason)?, deadline_ms })
            }
            "error" => {
                let [code, message, hint] = fields(json, ["code", "message", "hint"])?;
                let (code, message) = (text_or_empty(code)?, text_or_empty(message)?);
                Ok(Signal::Error { code, message, hint: hint.optional(Field::text)? })
            }
            _ => Ok(Signal::Unknown),
        }
    }

    /// The JSON that spells this message.
    pub fn to_json(&self) -> String {
        let mut object = Object::new();
        object.put("type", Value::Text(self.kind()));
        self.write_login(&mut object);
        self.write_service(&mut object);
        match self {
            Signal::Ping { id } | Signal::Pong { id } => object.put_some("id", *id),
            Signal::Drain { reason, deadline_ms } => {
                object.put("reason", Value::Text(reason));
                object.put("deadline_ms", Value::Integer(*deadline_ms));
            }
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
            Signal::AuthChallenge { challenge_id, challenge, server_address, mux, version } => {
                object.put("challenge_id", Value::Text(challenge_id));
                object.put("challenge", Value::Text(challenge));
                object.put("server_address", Value::Text(server_address));
                object.put("mux", Value::Texts(mux));
                object.put("version", Value::from(*version));
            }
            Signal::AuthResponse { challenge_id, jwt, mux, version } => {
                object.put("challenge_id", Value::from(challenge_id));
                object.put("jwt", Value::from(jwt));
                object.put_some("mux", mux);
                object.put_some("version", *version);
            }
            Signal::AuthOk {
                endpoint,
                server_address,
                services,
                mux,
                version,
                encryption_available,
                encryption_mode,
            } => {
                object.put("endpoint", Value::Text(endpoint));
                object.put("server_address", Value::Text(server_address));
                object.put("services", Value::Texts(services));
                object.put_some("mux", mux);
                object.put_some("version", *version);
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

    /// The members of a message about one service.
    fn write_service(&self, object: &mut Object) {
        match self {
            Signal::Bind { service, local_port, proto, public } => {
                object.put("service", Value::Text(service));
                object.put_some("local_port", *local_port);
                object.put_some("proto", proto.map_or(Value::Null, |proto| Value::Text(proto.name())));
                // The default is not written, for relays that know no other.
                if !public {
                    object.put("public", Value::Boolean(false));
                }
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
            _ => {}
        }
    }
}

/// A text that may be left out, which is the empty one, but not be `null`.
fn text_or_empty(member: Field<'_>) -> Result<String, JsonError> {
    member.or(String::new(), Field::text)
}

fn read_challenge(json: &[u8]) -> Result<Signal, JsonError> {
    let [challenge_id, challenge, server_address, mux, version] =
        fields(json, ["challenge_id", "challenge", "server_address", "mux", "version"])?;
    Ok(Signal::AuthChallenge {
        challenge_id: challenge_id.text()?,
        challenge: challenge.text()?,
        server_address: server_address.text()?,
        mux: mux.or(Vec::new(), Field::texts)?,
        version: version.optional(Field::integer)?,
    })
}

fn read_response(json: &[u8]) -> Result<Signal, JsonError> {
    let [challenge_id, jwt, mux, version] = fields(json, ["challenge_id", "jwt", "mux", "version"])?;
    Ok(Signal::AuthResponse {
        challenge_id: challenge_id.optional(Field::text)?,
        jwt: jwt.optional(Field::text)?,
        mux: mux.optional(Field::text)?,
        version: version.optional(Field::integer)?,
    })
}

fn read_ok(json: &[u8]) -> Result<Signal, JsonError> {
    let [endpoint, server_address, services, mux, version, available, mode] = fields(
        json,
        [
            "endpoint",
            "server_address",
            "services",
            "mux",
            "version",
            "encryption_available",
            "encryption_mode",
        ],
    )?;
    Ok(Signal::AuthOk {
        endpoint: endpoint.text()?,
        server_address: server_address.text()?,
        services: services.or(Vec::new(), Field::texts)?,
        mux: mux.optional(Field::text)?,
        version: version.optional(Field::integer)?,
        encryption_available: available.optional(Field::boolean)?,
        encryption_mode: mode.optional(Field::text)?,
    })
}

fn read_bind(json: &[u8]) -> Result<Signal, JsonError> {
    let [service, local_port, proto, public] = fields(json, ["service", "local_port", "proto", "public"])?;
    // A newer peer may carry what we do not: that is for the service to be refused, not for the link to end.
    let known = |proto: Field<'_>| proto.text().map(|name| Proto::named(&name));
    Ok(Signal::Bind {
        service: service.text()?,
        local_port: local_port.optional(Field::integer)?,
        proto: proto.or(Some(Proto::default()), known)?,
        public: public.or(true, Field::boolean)?,
    })
}

fn read_bind_ok(json: &[u8]) -> Result<Signal, JsonError> {
    let [service, url, port] = fields(json, ["service", "url", "port"])?;
    let (url, port) = (url.optional(Field::text)?, port.optional(Field::integer)?);
    Ok(Signal::BindOk { service: service.text()?, local_port: None, url, port })
}
