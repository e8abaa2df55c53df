//! The services of an agent: what each is served from, and the table of all of them, which may change at any time.

mod access_filter;
mod body;
mod connect;
mod dispatch;
mod error_page;
mod folder;
pub(crate) mod host_check;
mod http_proxy;
mod peer_log;
mod proxy_protocol;
mod replay;
mod request_log;
mod table;
mod tcp_proxy;
pub(crate) mod upstream;
mod verifier;

use std::path::Path;
use std::sync::Arc;

use hvym_http1::UrlScheme;
use hvym_tunnel_core::dialect::{Proto, StreamHeader};
use hvym_tunnel_core::mux::StreamId;
use hvym_tunnel_core::stellar::Address;
use hvym_tunnel_core::time::UnixTime;
use hvym_tunnel_net::observer::ObservedStream;
use hvym_tunnel_net::target::{Origin, Scheme, Target};
use hvym_tunnel_net::tls::Trust;

use crate::credentials::Credentials;
use crate::error::{AgentError, AuthorityRole};
use crate::event::AgentEvent;
use crate::event_sink::EventSink;
use crate::settings::SettingsError;
use crate::shutdown::Drain;
use crate::spec::ServiceSpec;
use access_filter::AccessFilter;
use folder::Folder;
use upstream::{ConnectError, Upstream};

pub(crate) use dispatch::Dispatcher;
pub use replay::{ReplayConnection, ReplayRefusal};
pub(crate) use table::ServiceTable;

/// One service that is offered.
pub(crate) struct LocalService {
    pub(crate) spec: Arc<ServiceSpec>,
    /// The name, for records.
    name: Arc<str>,
    source: Source,
    filter: AccessFilter,
    /// Its own streams.
    drain: Drain,
}

/// Where responses of a service come from.
enum Source {
    Upstream(Upstream),
    Folder(Folder),
}

impl LocalService {
    /// The service of `spec`, whose streams are counted by `drain`. Nothing is connected yet.
    ///
    /// # Errors
    /// Settings that contradict each other, a folder that does not exist, an unusable file of authorities or accounts.
    pub(crate) fn open(spec: ServiceSpec, drain: Drain) -> Result<Self, AgentError> {
        spec.check()?;
        let filter = spec.filter.clone().with_file().map_err(SettingsError::from)?;
        filter.credentials.iter().try_for_each(Credentials::check).map_err(SettingsError::from)?;
        let source = match &spec.target {
            Target::Folder(path) => Source::Folder(Folder::open(path)?),
            target => {
                let trust = trust(spec.ca.as_deref(), AuthorityRole::Service)?;
                Source::Upstream(Upstream::new(target.clone(), trust))
            }
        };
        let scheme = match &spec.target {
            Target::Origin(Origin { scheme: Scheme::Https { .. }, .. }) => UrlScheme::Https,
            _ => UrlScheme::Http,
        };
        let (name, filter) = (Arc::from(spec.name.as_str()), AccessFilter::new(filter, scheme));
        Ok(Self { spec: Arc::new(spec), name, source, filter, drain })
    }

    /// Connects once, to see whether the service is there. A folder always is.
    ///
    /// # Errors
    /// It is not.
    pub(crate) async fn probe(&self) -> Result<(), ConnectError> {
        match &self.source {
            Source::Upstream(upstream) => upstream.connect().await.map(drop),
            Source::Folder(_) => Ok(()),
        }
    }

    /// Asks its streams to finish between two requests.
    pub(crate) fn begin_drain(&self) {
        self.drain.begin();
    }

    fn proto(&self) -> Proto {
        self.spec.target.proto()
    }

    /// Whether the peer that opened a stream may have it: its identity is on the list or is `owner`, whose service it is, as the
    /// relay says; or it acts by a delegation of the owner. An identity has no network address that anybody vouches for.
    fn admits(&self, opening: &StreamHeader, owner: Address, now: UnixTime) -> bool {
        let is_let_in = self.spec.access.admits(opening.from)
            || opening.is_from(owner)
            || opening.is_delegated_by(owner, now);
        is_let_in && (opening.from.is_none() || self.filter.admits(None))
    }

    /// What inspectors may know of a stream to this service.
    fn observed(&self, id: StreamId, opening: &StreamHeader) -> ObservedStream {
        let mut stream = ObservedStream::new(id, Arc::clone(&self.name), opening.proto);
        (stream.is_private, stream.from) = (!self.spec.access.is_public(), opening.from);
        stream
    }

    /// Records the outcome of an attempt to connect, and reports it if it is a new one.
    fn note(&self, upstream: &Upstream, error: Option<&ConnectError>, sink: &EventSink) {
        let is_news = upstream.note(error);
        if !is_news {
            return;
        }
        let (service, target) = (self.name.to_string(), upstream.target().clone());
        sink.emit(match error {
            Some(error) => AgentEvent::UpstreamUnreachable { service, target, error: error.clone() },
            None => AgentEvent::UpstreamReachable { service, target },
        });
    }
}

/// The public authorities, and those in `file`.
pub(crate) fn trust(file: Option<&Path>, role: AuthorityRole) -> Result<Trust, AgentError> {
    let Some(path) = file else { return Ok(Trust::Verify) };
    Trust::with_authorities(path).map_err(|error| AgentError::Authorities {
        role,
        path: path.to_owned(),
        reason: error.to_string(),
    })
}
