//! The latest requests to the services of one identity.

use std::time::SystemTime;

use http::StatusCode;
use hvym_tunnel_core::stellar::Address;
use percent_encoding::percent_decode_str;
use schemars::JsonSchema;
use serde::Serialize;

use super::{ApiCaller, ApiResponse, error, json};
use crate::owner_logs::OwnerRequest;
use crate::relay_state::RelayState;

/// Requests in one response, if nobody says how many, and at most.
const DEFAULT_LIMIT: usize = 50;
const MAX_LIMIT: usize = 100;

/// A part of the log of one identity.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct RequestsReport {
    /// Whose.
    agent: String,
    /// How many there are, of the service that was asked for.
    total: usize,
    /// The services in the whole log.
    services: Vec<String>,
    /// The newest first.
    requests: Vec<RequestReport>,
}

/// One request.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct RequestReport {
    /// When it began.
    at: f64,
    /// The service; nothing where its agent was awaited and the name did not say which.
    service: Option<String>,
    /// The method.
    method: String,
    /// The path, without the query.
    path: String,
    /// What the visitor was answered; nothing if it left before.
    status: Option<u16>,
    /// Milliseconds until the head of the response.
    duration_ms: f64,
    /// Why the service gave no response.
    error: Option<String>,
}

/// Which part is asked for.
#[derive(Clone, PartialEq, Eq, Debug)]
struct RequestsQuery {
    agent: Option<Address>,
    service: Option<String>,
    limit: usize,
    offset: usize,
}

impl RequestsQuery {
    /// From the query of a URL.
    ///
    /// # Errors
    /// What is wrong with it, for a person.
    fn parse(query: &str) -> Result<Self, String> {
        let mut parsed = Self { agent: None, service: None, limit: DEFAULT_LIMIT, offset: 0 };
        let mut seen = Vec::new();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let value = percent_decode_str(value).decode_utf8().map_err(|_| format!("{name} is no text"))?;
            // Of two, one would be checked and the other one used, sooner or later.
            if seen.contains(&name) {
                return Err(format!("{name} is given twice"));
            }
            seen.push(name);
            match name {
                "agent" => {
                    parsed.agent = Some(value.parse().map_err(|_| "agent is an address G...".to_owned())?);
                }
                "service" => parsed.service = Some(value.into_owned()),
                "limit" => match value.parse() {
                    Ok(limit @ 1..=MAX_LIMIT) => parsed.limit = limit,
                    _ => return Err(format!("limit is a number from 1 to {MAX_LIMIT}")),
                },
                "offset" => parsed.offset = value.parse().map_err(|_| "offset is a number".to_owned())?,
                _ => return Err("the parameters are agent, service, limit and offset".to_owned()),
            }
        }
        Ok(parsed)
    }
}

/// `GET /api/v1/requests`.
pub(super) fn requests(state: &RelayState, caller: ApiCaller, query: &str) -> ApiResponse {
    let RequestsQuery { agent, service, limit, offset } = match RequestsQuery::parse(query) {
        Ok(query) => query,
        Err(why) => return error(StatusCode::BAD_REQUEST, why),
    };
    let agent = match (caller, agent) {
        (ApiCaller::Operator, Some(agent)) => agent,
        (ApiCaller::Operator, None) => return error(StatusCode::BAD_REQUEST, "whose requests? agent=G..."),
        (ApiCaller::Owner(own), None) => own,
        (ApiCaller::Owner(own), Some(agent)) if agent == own => own,
        // Whether there is another agent of that address, nobody else is told.
        (ApiCaller::Owner(_) | ApiCaller::Anyone, _) => {
            return error(StatusCode::FORBIDDEN, "these requests are another owner's");
        }
    };
    let page = state.owner_logs.page(&agent, service.as_deref(), limit, offset);
    let report = RequestsReport {
        agent: agent.to_string(),
        total: page.total,
        services: page.services,
        requests: page.requests.into_iter().map(RequestReport::from).collect(),
    };
    json(StatusCode::OK, &report)
}

impl From<OwnerRequest> for RequestReport {
    fn from(request: OwnerRequest) -> Self {
        let at = request.at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Self {
            // To the millisecond.
            at: at.as_millis() as f64 / 1000.0,
            service: request.service.map(|service| service.to_string()),
            method: request.method.to_string(),
            path: request.path.into(),
            status: request.status,
            duration_ms: request.duration.as_micros() as f64 / 1000.0,
            error: request.error.map(String::from),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_taken_as_it_is_meant_or_refused() {
        let agent = Address::from_public_key([7; 32]);
        let parse = RequestsQuery::parse;
        let all = RequestsQuery { agent: None, service: None, limit: DEFAULT_LIMIT, offset: 0 };
        assert_eq!(parse(""), Ok(all.clone()));
        let query = format!("agent={agent}&service=w%65b&limit=1&offset=7");
        let expected =
            RequestsQuery { agent: Some(agent), service: Some("web".to_owned()), limit: 1, offset: 7 };
        assert_eq!(parse(&query), Ok(expected));
        assert_eq!(parse("limit=100"), Ok(RequestsQuery { limit: MAX_LIMIT, ..all }));
        let twice = format!("agent={agent}&agent={agent}");
        for query in ["limit=0", "limit=101", "limit=", "offset=-1", "agent=G", "service=%ff", "x=1", &twice]
        {
            assert!(parse(query).is_err(), "{query}");
        }
    }
}
