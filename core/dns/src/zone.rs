//! What the server knows: one domain, whose every name leads to the same addresses.

use alloc::string::String;
use alloc::vec::Vec;
use core::net::IpAddr;

use crate::name::DomainName;
use crate::record::{A, AAAA, CAA, NS, Record, SOA, TXT};

/// The label of the challenge's records (RFC 8555 section 8.4).
pub const CHALLENGE_LABEL: &str = "_acme-challenge";
/// Addresses of the domain: a host has one or two, and more would make answers long.
pub const MAX_ADDRESSES: usize = 8;
/// Challenge values at once. One order has two, for the domain and for its wildcard; a later one may overlap.
pub const MAX_TEXTS: usize = 8;
/// Authorities for certificates: one CA has one or two names.
pub const MAX_ISSUERS: usize = 4;
/// The longest name of an authority. Longer ones are left out.
const MAX_ISSUER_BYTES: usize = 64;

/// One domain. Every host name at and below it has the same addresses; a label that begins with `_` is no host's, and names
/// with one do not exist, except for the challenge's while there is one.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Zone {
    apex: DomainName,
    serial: u32,
    addresses: Vec<IpAddr>,
    texts: Vec<String>,
    issuers: Vec<String>,
}

/// What a zone has under a name.
pub(crate) enum Lookup<'a> {
    Records(Vec<Record<'a>>),
    /// The name exists, but has nothing of this type.
    NoData,
    NoSuchName,
    /// The name is not of this zone.
    Outside,
}

impl Zone {
    /// The zone of `apex`. `serial` should grow from one start to the next.
    pub fn new(apex: DomainName, serial: u32) -> Self {
        Self { apex, serial, addresses: Vec::new(), texts: Vec::new(), issuers: Vec::new() }
    }

    /// Its domain.
    pub fn apex(&self) -> &DomainName {
        &self.apex
    }

    /// Where all names lead; the first [`MAX_ADDRESSES`] of these.
    pub fn set_addresses(&mut self, mut addresses: Vec<IpAddr>) {
        addresses.truncate(MAX_ADDRESSES);
        self.addresses = addresses;
    }

    /// Who alone may issue certificates for the domain (RFC 8659); nobody in particular if empty. Names of authorities have
    /// 64 bytes at most, and the first [`MAX_ISSUERS`] count.
    pub fn set_issuers(&mut self, issuers: impl IntoIterator<Item = String>) {
        let fits = |issuer: &String| !issuer.is_empty() && issuer.len() <= MAX_ISSUER_BYTES;
        self.issuers = issuers.into_iter().filter(fits).take(MAX_ISSUERS).collect();
    }

    /// Adds a value of the challenge. Returns whether there was room: at most [`MAX_TEXTS`] at once, of at most 255 bytes.
    pub fn add_challenge(&mut self, value: String) -> bool {
        let has_room = self.texts.len() < MAX_TEXTS && value.len() <= usize::from(u8::MAX);
        if has_room {
            self.serial = self.serial.wrapping_add(1);
            self.texts.push(value);
        }
        has_room
    }

    /// Removes a value of the challenge.
    pub fn remove_challenge(&mut self, value: &str) {
        if let Some(at) = self.texts.iter().position(|text| text == value) {
            self.serial = self.serial.wrapping_add(1);
            self.texts.remove(at);
        }
    }

    pub(crate) fn authority(&self) -> Record<'_> {
        Record::Authority { serial: self.serial }
    }

    pub(crate) fn lookup(&self, name: &DomainName, kind: u16) -> Lookup<'_> {
        let Some(labels) = name.below(&self.apex) else { return Lookup::Outside };
        let labels: Vec<&[u8]> = labels.collect();
        let records: Vec<Record<'_>> = if labels == [CHALLENGE_LABEL.as_bytes()] && !self.texts.is_empty() {
            let texts = self.texts.iter().map(|text| Record::Text(text.as_bytes()));
            texts.filter(|_| kind == TXT).collect()
        } else if labels.iter().any(|label| label.starts_with(b"_")) {
            return Lookup::NoSuchName;
        } else {
            self.of_host(labels.is_empty(), kind)
        };
        if records.is_empty() { Lookup::NoData } else { Lookup::Records(records) }
    }

    fn of_host(&self, is_apex: bool, kind: u16) -> Vec<Record<'_>> {
        let addresses = |v4: bool| {
            let addresses = self.addresses.iter().filter(move |address| address.is_ipv4() == v4);
            addresses.map(|address| Record::Address(*address)).collect()
        };
        match kind {
            A => addresses(true),
            AAAA => addresses(false),
            NS if is_apex => [Record::NameServer].into(),
            SOA if is_apex => [self.authority()].into(),
            CAA if is_apex => {
                let issuers = self.issuers.iter().map(String::as_bytes);
                issuers
                    .flat_map(|issuer| [Record::Issuer(issuer, false), Record::Issuer(issuer, true)])
                    .collect()
            }
            _ => Vec::new(),
        }
    }
}
