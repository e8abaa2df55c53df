//! What an agent says of its own process when it logs in. Nothing of it is proven: it tells the sessions of one identity from
//! each other.

use alloc::string::String;

/// Characters of an instance: 16 bytes in base64url without padding.
const INSTANCE_CHARACTERS: usize = 22;
/// The longest label, characters: a host name (RFC 1035 section 2.3.4) and a process id.
pub const MAX_PROCESS_LABEL: usize = 280;

/// What a session is for.
#[derive(Copy, Clone, PartialEq, Eq, Default, Debug)]
pub enum SessionRole {
    /// It offers services, and may reach those of others.
    #[default]
    Agent,
    /// It only reaches services of others.
    Caller,
}

/// One running program, as it describes itself.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Process {
    /// 128 random bits, made when the program started. `None`: a program that knows no instances.
    pub instance: Option<String>,
    /// What its session is for.
    pub role: SessionRole,
    /// What other sessions of the same identity may be told of it: its host name and process id.
    pub label: Option<String>,
}

impl SessionRole {
    /// Its name on the wire.
    pub(super) const CALLER: &'static str = "caller";

    /// The role of this name. One that only later versions know is an agent's.
    pub fn named(name: &str) -> Self {
        if name == Self::CALLER { SessionRole::Caller } else { SessionRole::Agent }
    }
}

impl Process {
    /// Whether the instance is one, and the label can be shown to a person.
    pub fn is_valid(&self) -> bool {
        let is_base64url = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        let instance = self.instance.as_ref().is_none_or(|instance| {
            instance.len() == INSTANCE_CHARACTERS && instance.bytes().all(is_base64url)
        });
        let label = self.label.as_ref().is_none_or(|label| {
            label.chars().count() <= MAX_PROCESS_LABEL && !label.contains(char::is_control)
        });
        instance && label
    }
}

/// What becomes of a service that another session of the same identity has bound.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Default, Debug)]
pub enum OnConflict {
    /// The newer session serves it alone.
    #[default]
    Takeover,
    /// The newer session is refused.
    Reject,
    /// All sessions that say so share its visitors.
    Pool,
    /// The oldest session that says so serves it, and the next takes its place when it goes.
    Standby,
}

impl OnConflict {
    /// Its name on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            OnConflict::Takeover => "takeover",
            OnConflict::Reject => "reject",
            OnConflict::Pool => "pool",
            OnConflict::Standby => "standby",
        }
    }

    /// The mode of this name, if this version knows it.
    pub fn named(name: &str) -> Option<Self> {
        let all = [OnConflict::Takeover, OnConflict::Reject, OnConflict::Pool, OnConflict::Standby];
        all.into_iter().find(|mode| mode.name() == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instance_is_128_bits_and_a_label_is_a_line() {
        let with = |instance: &str, label: &str| Process {
            instance: Some(instance.into()),
            label: Some(label.into()),
            role: SessionRole::Agent,
        };
        let (good, longest) = ("A-_z5678901234567890ab", "x".repeat(MAX_PROCESS_LABEL));
        assert!(Process::default().is_valid() && with(good, &longest).is_valid());
        for (instance, label) in [
            (&good[1..], ""),
            ("A-_z5678901234567890abc", ""),
            ("A+_z5678901234567890ab", ""),
            (good, "host\npid"),
            (good, &"x".repeat(MAX_PROCESS_LABEL + 1)),
        ] {
            assert!(!with(instance, label).is_valid(), "{instance} {label}");
        }
    }
}
