//! What the labels in front of a relay's domain say. Every text has at most one meaning: short labels, claimed names and
//! services have no `--`, so the one in a label separates a service from its owner.

use super::claimed::ClaimedName;
use super::label::check_service;
use super::short_label::ShortLabel;
use crate::stellar::Address;

/// How a host name names the owner of a service.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum OwnerLabel<'a> {
    /// By the whole address.
    Address(Address),
    /// By the hash of its key.
    Short(ShortLabel),
    /// By a name that it may have claimed.
    Claimed(&'a str),
}

/// A host name below a relay's domain, taken apart.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct HostParts<'a> {
    /// Whose.
    pub owner: OwnerLabel<'a>,
    /// Which service; `None` is the one at the bare name.
    pub service: Option<&'a str>,
}

impl<'a> HostParts<'a> {
    /// Reads `labels`, which are what stands before the domain, in lower case and without the dot between: `<owner>` or
    /// `<service>--<owner>`, or for a whole address `<service>.<address>`. `None` is neither.
    pub fn parse(labels: &'a str) -> Option<Self> {
        if let Some((service, address)) = labels.rsplit_once('.') {
            let owner = OwnerLabel::Address(Address::from_label(address).ok()?);
            return check_service(service).then_some(Self { owner, service: Some(service) });
        }
        if let Ok(address) = Address::from_label(labels) {
            return Some(Self { owner: OwnerLabel::Address(address), service: None });
        }
        let (service, owner) = match labels.split_once("--") {
            Some((service, owner)) => (Some(service), owner),
            None => (None, labels),
        };
        let owner = match ShortLabel::parse(owner) {
            Some(short) => OwnerLabel::Short(short),
            None => OwnerLabel::Claimed(ClaimedName::new(owner).is_ok().then_some(owner)?),
        };
        service.is_none_or(check_service).then_some(Self { owner, service })
    }
}
