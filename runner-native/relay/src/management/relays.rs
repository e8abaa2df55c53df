//! The relays of the domain, as this one knows them, and who is at each.

use schemars::JsonSchema;
use serde::Serialize;

use super::reports;
use crate::relay_state::RelayState;

/// The relays of the domain.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct RelaysReport {
    /// Whether what they share can be reached; nothing where there is one relay alone.
    store_available: Option<bool>,
    /// This relay first.
    relays: Vec<RelayReport>,
}

/// One relay.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct RelayReport {
    /// Its name among them, another one each time that it starts; nothing of a relay that is alone.
    node: Option<String>,
    /// Where the others, or its agents, dial it.
    url: String,
    /// Its address.
    address: String,
    /// Whether it is the one that was asked.
    own: bool,
    /// Whether visitors of the one that was asked reach its agents.
    linked: bool,
    /// Who is logged in there: identities and names.
    agents: Vec<String>,
}

pub(super) fn report(state: &RelayState) -> RelaysReport {
    let cluster = state.cluster.as_ref();
    let options = &state.settings.options;
    let own = RelayReport {
        node: cluster.map(|cluster| cluster.node.to_string()),
        url: match cluster {
            Some(cluster) => cluster.about.url.clone(),
            None => options.agent_url(state.info.port).to_string(),
        },
        address: state.info.address.to_string(),
        own: true,
        linked: true,
        agents: reports::owners(state).iter().map(ToString::to_string).collect(),
    };
    let others = cluster.map(|cluster| cluster.others()).unwrap_or_default().into_iter();
    let others = others.map(|other| RelayReport {
        node: Some(other.node.to_string()),
        url: other.record.url,
        address: other.record.address.to_string(),
        own: false,
        linked: other.is_linked,
        agents: other.owners.iter().map(ToString::to_string).collect(),
    });
    RelaysReport {
        store_available: cluster.map(|cluster| cluster.is_available()),
        relays: std::iter::once(own).chain(others).collect(),
    }
}
