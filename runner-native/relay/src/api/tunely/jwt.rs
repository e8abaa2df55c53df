//! Tokens of a login service (RFC 7519, HS256), with the texts that Tunely's relay refuses them with.

use base64ct::{Base64UrlUnpadded, Encoding};
use ring::hmac;
use serde_json::{Map, Value};

/// Bytes of a token that are looked at. Real ones have some hundred.
const MAX_TOKEN_BYTES: usize = 8 * 1024;
/// Characters of a subject, which is the name of an owner in the registry.
const MAX_SUBJECT_CHARACTERS: usize = 255;

/// Whether a token says that it is signed so.
pub(super) fn is_hs256(token: &str) -> bool {
    let header = token.split('.').next().and_then(object);
    header.is_some_and(|header| header.get("alg").and_then(Value::as_str) == Some("HS256"))
}

/// Whose token `Authorization` holds. `now` is in seconds since 1970.
///
/// # Errors
/// What is wrong, for whoever sent it.
pub(super) fn subject(shown: Option<&str>, secret: &[u8], now: u64) -> Result<String, String> {
    let shown = shown.ok_or("Authorization header required (Bearer <token>)")?;
    let token = shown.split_once(' ').filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
    let (_, token) = token.ok_or("Invalid authorization format. Use: Bearer <token>")?;
    let claims = verify(token.trim(), secret).map_err(|error| format!("Invalid token: {error}"))?;
    let time = |name: &str| claims.get(name).map(|claim| claim.as_f64().ok_or(()));
    let seconds = now as f64;
    match time("exp") {
        Some(Ok(expires)) if expires > seconds => {}
        Some(Ok(_)) => return Err("Token has expired".to_owned()),
        Some(Err(_)) => {
            return Err("Invalid token: Expiration Time claim (exp) must be an integer.".to_owned());
        }
        None => return Err("Invalid token: Token is missing the \"exp\" claim".to_owned()),
    }
    if time("nbf").is_some_and(|begins| begins.is_ok_and(|begins| begins > seconds) || begins.is_err()) {
        return Err("Invalid token: The token is not yet valid (nbf)".to_owned());
    }
    match claims.get("sub").and_then(Value::as_str) {
        Some(subject) if (1..=MAX_SUBJECT_CHARACTERS).contains(&subject.chars().count()) => {
            Ok(subject.to_owned())
        }
        Some(_) => Err("Invalid token: Subject has no usable length".to_owned()),
        None => Err("Invalid token: Token is missing the \"sub\" claim".to_owned()),
    }
}

/// The claims of a token whose signature is right. The texts are those of PyJWT.
fn verify(token: &str, secret: &[u8]) -> Result<Map<String, Value>, &'static str> {
    let parts: Vec<&str> = token.splitn(4, '.').collect();
    let [header, payload, signature] = parts[..] else { return Err("Not enough segments") };
    if token.len() > MAX_TOKEN_BYTES {
        return Err("Too long");
    }
    let decoded = |part: &str, error| Base64UrlUnpadded::decode_vec(part).map_err(|_| error);
    decoded(header, "Invalid header padding")?;
    let fields = object(header).ok_or("Invalid header string")?;
    let payload_bytes = decoded(payload, "Invalid payload padding")?;
    let signature = decoded(signature, "Invalid crypto padding")?;
    // A critical extension (RFC 7515 section 4.1.11), of which none is supported.
    if fields.get("alg").and_then(Value::as_str) != Some("HS256") || fields.contains_key("crit") {
        return Err("The specified alg value is not allowed");
    }
    let signed = token.rsplit_once('.').map_or("", |(signed, _)| signed);
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
    hmac::verify(&key, signed.as_bytes(), &signature).map_err(|_| "Signature verification failed")?;
    serde_json::from_slice(&payload_bytes).map_err(|_| "Invalid payload string: must be a json object")
}

fn object(part: &str) -> Option<Map<String, Value>> {
    serde_json::from_slice(&Base64UrlUnpadded::decode_vec(part).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &[u8] = b"a secret of thirty-two bytes....";

    fn token(header: &str, claims: &str) -> String {
        let signed = [header, claims].map(|part| Base64UrlUnpadded::encode_string(part.as_bytes())).join(".");
        let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, SECRET), signed.as_bytes());
        format!("Bearer {signed}.{}", Base64UrlUnpadded::encode_string(tag.as_ref()))
    }

    fn of(claims: &str) -> Result<String, String> {
        subject(Some(&token(r#"{"alg":"HS256"}"#, claims)), SECRET, 100)
    }

    #[test]
    fn a_token_names_its_owner_from_its_beginning_to_its_end() {
        assert_eq!(of(r#"{"sub":"u","exp":101}"#), Ok("u".to_owned()));
        assert_eq!(of(r#"{"sub":"u","exp":100}"#), Err("Token has expired".to_owned()));
        assert_eq!(of(r#"{"sub":"u","exp":101,"nbf":100}"#), Ok("u".to_owned()));
        for claims in [
            r#"{"sub":"u","exp":200,"nbf":101}"#,
            r#"{"sub":"u","exp":200,"nbf":"x"}"#,
            r#"{"sub":"u"}"#,
            r#"{"sub":"u","exp":"200"}"#,
            r#"{"exp":200}"#,
            r#"{"sub":1,"exp":200}"#,
            r#"{"sub":"","exp":200}"#,
            "[]",
        ] {
            assert!(of(claims).is_err_and(|error| error.starts_with("Invalid token: ")), "{claims}");
        }
        let long = |length| of(&format!(r#"{{"sub":"{}","exp":200}}"#, "é".repeat(length))).is_ok();
        assert_eq!((long(255), long(256)), (true, false));
    }

    #[test]
    fn what_is_signed_otherwise_is_refused_in_tunelys_words() {
        let good = token(r#"{"alg":"HS256"}"#, r#"{"sub":"u","exp":200}"#);
        let none = token(r#"{"alg":"none"}"#, r#"{"sub":"u","exp":200}"#);
        for (shown, secret, error) in [
            (None, SECRET, "Authorization header required (Bearer <token>)"),
            (Some("Basic x"), SECRET, "Invalid authorization format. Use: Bearer <token>"),
            (Some("Bearer x.y.z"), SECRET, "Invalid token: Invalid header padding"),
            (Some("Bearer abc"), SECRET, "Invalid token: Not enough segments"),
            (Some(&*good), b"another secret", "Invalid token: Signature verification failed"),
            (Some(&*none), SECRET, "Invalid token: The specified alg value is not allowed"),
        ] {
            assert_eq!(subject(shown, secret, 100), Err(error.to_owned()), "{shown:?}");
        }
        assert_eq!(subject(Some(&good), SECRET, 100), Ok("u".to_owned()));
    }
}
