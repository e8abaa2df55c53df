//! The store in Redis. One script does a whole exchange, so that no relay sees half of another one's.

use std::time::Duration;

use redis::{Client, Connection, Script, cmd};

use crate::domain_keys::{DOMAIN_PREFIX, DomainPage};
use crate::error::SyncError;
use crate::record::{NodeId, RelayRecord, ServiceKey, ServiceRecord};
use crate::sync::{ServiceChange, SyncReply, SyncRequest};
use crate::tunnel_keys::{TUNNEL_TTL, TunnelBatch};
use crate::url::{StoreKind, StoreUrl};

/// How long Redis may take to accept, and to answer. It does so in a millisecond; a relay whose Redis does not is better off without it
/// before its lease ends.
const TIMEOUT: Duration = Duration::from_millis(800);
/// The exchange. Its keys have one hash tag, so that they are in one slot of a Redis Cluster.
const SCRIPT: &str = include_str!("sync.lua");
const KEYS: [&str; 7] = [
    "hvym_tunnel:{cluster}:epoch",
    "hvym_tunnel:{cluster}:relays",
    "hvym_tunnel:{cluster}:alive",
    "hvym_tunnel:{cluster}:services",
    "hvym_tunnel:{cluster}:changes",
    "hvym_tunnel:{cluster}:gone",
    "hvym_tunnel:{cluster}:floor",
];

/// Records of tunnels as HVYM's server writes them. They are in no hash tag, as that server has none: they need a Redis of one node.
const TUNNELS_SCRIPT: &str = include_str!("tunnels.lua");
const TUNNELS_KEYS: [&str; 3] =
    ["hvym_tunnel:{cluster}:services", "hvym_tunnel:{cluster}:tunnels", "hvym_tunnel:active"];

/// Keys that Redis looks at for one part of the custom domains: less than a thousandth of a second.
const SCAN_COUNT: usize = 1000;

/// A Redis that several relays share. Its calls block.
pub struct RedisStore {
    client: Client,
    script: Script,
    tunnels: Script,
    connection: Option<Connection>,
}

impl RedisStore {
    /// Nothing is connected yet.
    ///
    /// # Errors
    /// The URL asks for what this program cannot do.
    pub(crate) fn new(url: &StoreUrl) -> Result<Self, SyncError> {
        let client = Client::open(url.as_str())?;
        let (script, tunnels) = (Script::new(SCRIPT), Script::new(TUNNELS_SCRIPT));
        Ok(Self { client, script, tunnels, connection: None })
    }

    /// One exchange; blocks for two seconds at most. After an error the next one connects anew.
    ///
    /// # Errors
    /// Redis is away, or is none.
    pub(crate) fn sync(&mut self, request: &SyncRequest) -> Result<SyncReply, SyncError> {
        let mut connection = self.take_connection()?;
        let mut invocation = self.script.prepare_invoke();
        for key in KEYS {
            invocation.key(key);
        }
        for argument in arguments(request) {
            invocation.arg(argument);
        }
        let answer: Vec<String> = invocation.invoke(&mut connection)?;
        let reply = read(&answer).ok_or(SyncError::Answer(StoreKind::Redis))?;
        self.connection = Some(connection);
        Ok(reply)
    }

    /// Writes and removes records of tunnels, each only where no other relay has a newer one; blocks as [`Self::sync`] does.
    ///
    /// # Errors
    /// Redis is away, or is none.
    pub(crate) fn write_tunnels(&mut self, batch: &TunnelBatch) -> Result<(), SyncError> {
        let mut connection = self.take_connection()?;
        let mut invocation = self.tunnels.prepare_invoke();
        for key in TUNNELS_KEYS {
            invocation.key(key);
        }
        invocation.arg(batch.node.as_str()).arg(TUNNEL_TTL.as_secs()).arg(flag(batch.sweeps));
        for write in &batch.writes {
            let (service, record) = match &write.record {
                Some((service, record)) => (service.to_string(), record.as_str()),
                None => (String::new(), ""),
            };
            invocation.arg(write.address.to_string()).arg(service).arg(record);
        }
        let () = invocation.invoke(&mut connection)?;
        self.connection = Some(connection);
        Ok(())
    }

    /// The records of custom domains from `cursor` on; blocks as [`Self::sync`] does.
    ///
    /// # Errors
    /// Redis is away, or is none.
    pub(crate) fn read_domains(&mut self, cursor: u64) -> Result<DomainPage, SyncError> {
        let mut connection = self.take_connection()?;
        let mut scan = cmd("SCAN");
        scan.arg(cursor).arg("MATCH").arg(format!("{DOMAIN_PREFIX}*")).arg("COUNT").arg(SCAN_COUNT);
        let (next, keys): (u64, Vec<String>) = scan.query(&mut connection)?;
        let values: Vec<Option<String>> = match keys.is_empty() {
            true => Vec::new(),
            false => cmd("MGET").arg(&keys).query(&mut connection)?,
        };
        self.connection = Some(connection);
        // One that is gone meanwhile, or is no text, has no value.
        let pairs = keys.into_iter().zip(values);
        let records = pairs.filter_map(|(key, value)| Some((key, value?))).collect();
        Ok(DomainPage { next, records })
    }

    /// The connection, which whoever uses it without an error puts back.
    fn take_connection(&mut self) -> Result<Connection, SyncError> {
        match self.connection.take() {
            Some(connection) => Ok(connection),
            None => self.connect(),
        }
    }

    fn connect(&self) -> Result<Connection, SyncError> {
        let connection = self.client.get_connection_with_timeout(TIMEOUT)?;
        connection.set_read_timeout(Some(TIMEOUT))?;
        connection.set_write_timeout(Some(TIMEOUT))?;
        Ok(connection)
    }
}

fn arguments(request: &SyncRequest) -> Vec<String> {
    let mut arguments = vec![
        request.node.to_string(),
        request.about.to_json(),
        request.lease.as_millis().to_string(),
        request.seen.to_string(),
        flag(request.wants_all),
        request.claims.len().to_string(),
    ];
    for claim in &request.claims {
        arguments.extend([claim.key.to_string(), claim.record.to_json(), flag(claim.takes_over)]);
    }
    arguments.push(request.releases.len().to_string());
    for release in &request.releases {
        arguments.extend([release.key.to_string(), release.epoch.to_string()]);
    }
    arguments
}

fn flag(is_set: bool) -> String {
    u8::from(is_set).to_string()
}

/// Reads the answer of the script. A record that this version does not know is left out: its relay may be a newer one.
fn read(answer: &[String]) -> Option<SyncReply> {
    let mut words = answer.iter().map(String::as_str);
    let mut reply = SyncReply { epoch: words.next()?.parse().ok()?, ..SyncReply::default() };
    reply.is_new = words.next()? == "1";
    reply.is_complete = words.next()? == "1";
    for _ in 0..count(words.next()?)? {
        let (node, record) = (words.next()?, words.next()?);
        let record = RelayRecord::from_json(record);
        reply.relays.extend(record.ok().map(|record| (NodeId::new(node), record)));
    }
    for _ in 0..count(words.next()?)? {
        let (key, value) = (words.next()?, words.next()?);
        reply.changes.extend(change(key, value));
    }
    for _ in 0..count(words.next()?)? {
        reply.claims.push(words.next()?.parse().ok()?);
    }
    words.next().is_none().then_some(reply)
}

fn count(word: &str) -> Option<usize> {
    word.parse().ok()
}

fn change(key: &str, value: &str) -> Option<ServiceChange> {
    let key: ServiceKey = key.parse().ok()?;
    if value.is_empty() {
        return Some(ServiceChange { key, holder: None });
    }
    let mut parts = value.splitn(3, ' ');
    let (epoch, node, record) = (parts.next()?.parse().ok()?, parts.next()?, parts.next()?);
    let record = ServiceRecord::from_json(record).ok()?;
    Some(ServiceChange { key, holder: Some((NodeId::new(node), epoch, record)) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split('|').map(str::to_owned).collect()
    }

    #[test]
    fn an_answer_is_read_and_records_of_later_versions_are_left_out() {
        let record = r#"{"proto":"http","public":true,"on_conflict":"takeover"}"#;
        let newer = r#"{"proto":"quic","public":true,"on_conflict":"takeover"}"#;
        let text = format!("9|1|0|1|n1|{{}}|3|@a/web|7 n2 {record}|@b/web||@c/web|8 n2 {newer}|2|9|0");
        let reply = read(&words(&text)).expect("an answer");
        assert_eq!((reply.epoch, reply.is_new, reply.is_complete), (9, true, false));
        assert_eq!((reply.relays.len(), reply.claims), (0, vec![9, 0]));
        let holders: Vec<_> =
            reply.changes.iter().map(|change| change.holder.as_ref().map(|held| held.1)).collect();
        assert_eq!(holders, [Some(7), None]);
    }

    #[test]
    fn what_is_no_answer_is_refused() {
        for text in ["", "x|0|0|0|0|0", "1|0|0|0|0", "1|0|0|2|n|{}|0|0", "1|0|0|0|0|0|more", "1|0|0|0|0|1|x"]
        {
            assert_eq!(read(&words(text)), None, "{text}");
        }
        assert!(read(&words("1|0|0|0|0|0")).is_some());
    }
}
