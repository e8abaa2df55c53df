//! Which fields hold secrets, and what stands for their values until somebody asks for them.

/// Fields whose values are secrets of visitors or of the service.
const SECRET_FIELDS: [&str; 10] = [
    "authorization",
    "proxy-authorization",
    "cookie",
    "set-cookie",
    "x-api-key",
    "api-key",
    "x-auth-token",
    "x-access-token",
    "x-csrf-token",
    "x-xsrf-token",
];

/// What stands for a secret. In an edited request it means the value that was captured.
pub const MASK: &str = "••••••••";

/// Whether a field of this name holds a secret.
pub(crate) fn is_secret(name: &str) -> bool {
    SECRET_FIELDS.iter().any(|secret| name.eq_ignore_ascii_case(secret))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_known_by_the_names_of_their_fields() {
        for name in ["Authorization", "COOKIE", "set-cookie", "X-Api-Key"] {
            assert!(is_secret(name), "{name}");
        }
        for name in ["Accept", "Cookie2", "X-Forwarded-For", ""] {
            assert!(!is_secret(name), "{name}");
        }
    }
}
