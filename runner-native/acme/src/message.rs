//! What a certificate authority says (RFC 8555 section 7.1), as far as it matters here, and its texts made fit for a log.

use serde::Deserialize;

/// The longest text of a certificate authority that is repeated.
const MAX_TEXT: usize = 300;

/// Where its resources are (section 7.1.1).
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Directory {
    pub(crate) new_nonce: String,
    pub(crate) new_account: String,
    pub(crate) new_order: String,
    #[serde(default)]
    pub(crate) meta: DirectoryMeta,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct DirectoryMeta {
    /// Its names in CAA records.
    #[serde(default)]
    pub(crate) caa_identities: Vec<String>,
    /// Accounts are only for who has one there already, by a key that it gave out (section 7.3.4).
    #[serde(default)]
    pub(crate) external_account_required: bool,
}

/// The state of an order, an authorization or a challenge (section 7.1.6).
#[derive(Copy, Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Status {
    Pending,
    Ready,
    Processing,
    Valid,
    Invalid,
    #[serde(other)]
    Ended,
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Order {
    pub(crate) status: Status,
    pub(crate) authorizations: Vec<String>,
    pub(crate) finalize: String,
    pub(crate) certificate: Option<String>,
    pub(crate) error: Option<Problem>,
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Authorization {
    pub(crate) identifier: Identifier,
    pub(crate) status: Status,
    pub(crate) challenges: Vec<OfferedChallenge>,
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Identifier {
    pub(crate) value: String,
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct OfferedChallenge {
    #[serde(rename = "type")]
    pub(crate) kind: String,
    pub(crate) url: String,
    #[serde(default)]
    pub(crate) token: String,
    pub(crate) error: Option<Problem>,
}

/// Why something failed (RFC 7807).
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Problem {
    #[serde(rename = "type")]
    pub(crate) kind: String,
    pub(crate) detail: String,
}

impl Problem {
    /// The kind, without what all have in common.
    pub(crate) fn code(&self) -> &str {
        self.kind.strip_prefix("urn:ietf:params:acme:error:").unwrap_or(&self.kind)
    }

    /// Both, for a person.
    pub(crate) fn text(&self) -> String {
        match (self.code(), self.detail.as_str()) {
            ("", "") => "without a reason".to_owned(),
            (code, "") => printable(code),
            ("", detail) => printable(detail),
            (code, detail) => printable(&format!("{detail} ({code})")),
        }
    }
}

/// `text` in one line of bounded length, in which nothing but printable ASCII stands as it is.
pub(crate) fn printable(text: &str) -> String {
    let mut escaped = String::new();
    for (at, character) in text.chars().enumerate() {
        if at == MAX_TEXT {
            escaped.push_str("...");
            break;
        }
        match character {
            ' '..='~' => escaped.push(character),
            other => escaped.extend(other.escape_default()),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_of_an_authority_are_one_bounded_line_of_ascii() {
        assert_eq!(printable("a \"b\"\r\n\u{1b}[2Jc\u{202e}"), "a \"b\"\\r\\n\\u{1b}[2Jc\\u{202e}");
        assert_eq!(printable(&"x".repeat(MAX_TEXT)), "x".repeat(MAX_TEXT));
        assert_eq!(printable(&"x".repeat(MAX_TEXT + 1)), format!("{}...", "x".repeat(MAX_TEXT)));
    }

    #[test]
    fn a_problem_is_told_with_its_kind() {
        let problem = |kind: &str, detail: &str| Problem { kind: kind.to_owned(), detail: detail.to_owned() };
        let limited = problem("urn:ietf:params:acme:error:rateLimited", "too many");
        assert_eq!((limited.code(), limited.text().as_str()), ("rateLimited", "too many (rateLimited)"));
        assert_eq!(problem("about:blank", "").text(), "about:blank");
        assert_eq!(problem("", "gone").text(), "gone");
        assert_eq!(Problem::default().text(), "without a reason");
    }

    #[test]
    fn states_that_are_not_known_have_ended() {
        for (text, status) in [("\"valid\"", Status::Valid), ("\"revoked\"", Status::Ended)] {
            assert_eq!(serde_json::from_str::<Status>(text).expect("a state"), status);
        }
    }
}
