//! What events follow from what a relay says.

use super::*;
use hvym_tunnel_core::dialect::SessionTerms;

const NOW: Instant = Instant::from_millis(1000);

fn spec(name: &str) -> Arc<ServiceSpec> {
    Arc::new(ServiceSpec::new(name.parse().expect("a name"), "3000".parse().expect("a target")))
}

fn status(names: &[&str]) -> LinkStatus {
    let address = Address::from_public_key([7; 32]);
    let services = names.iter().map(|name| spec(name)).collect();
    let urls = PublicUrls::new("relay.example", false, Vec::new());
    LinkStatus::new(address, Purpose::Expose { server: None }, urls, services, RetrySettings::default(), NOW)
}

fn up(status: &mut LinkStatus) {
    let endpoint = Endpoint {
        url: "https://relay.example".to_owned(),
        relay: None,
        is_proven: true,
        services: Vec::new(),
        terms: SessionTerms::default(),
    };
    assert_eq!(status.handle_up(endpoint, None, NOW), Ok(()));
}

#[test]
fn a_service_that_is_added_later_is_announced_once() {
    let mut status = status(&["web"]);
    up(&mut status);
    assert_eq!(status.handle_bound("web".to_owned(), None, NOW), Ok(()));
    assert!(matches!(&status.take_events()[..], [AgentEvent::Online { services }] if services.len() == 1));
    status.put_service(spec("api"));
    assert_eq!(status.handle_bound("api".to_owned(), None, NOW), Ok(()));
    let events = status.take_events();
    assert!(matches!(&events[..], [AgentEvent::ServiceBound(bound)] if bound.service == "api"));
    assert_eq!(status.handle_bound("api".to_owned(), None, NOW), Ok(()));
    assert_eq!(status.take_events(), []);
}

#[test]
fn what_the_relay_granted_is_known_while_there_is_a_link() {
    let mut status = status(&["web"]);
    assert_eq!(status.endpoint(), None);
    up(&mut status);
    assert_eq!(status.endpoint().map(|endpoint| endpoint.url.as_str()), Some("https://relay.example"));
    assert_eq!(status.handle_down(DownReason::Silent, None, Some(NOW), NOW), Ok(()));
    assert_eq!(status.endpoint(), None);
}

#[test]
fn an_agent_ends_when_the_relay_takes_none_of_its_services() {
    let mut status = status(&["web", "api"]);
    up(&mut status);
    let refuse = |status: &mut LinkStatus, name: &str| {
        status.handle_refused(name.to_owned(), "conflict".to_owned(), "taken".to_owned(), NOW)
    };
    assert_eq!(refuse(&mut status, "web"), Ok(()));
    assert!(matches!(refuse(&mut status, "api"), Err(AgentError::ServiceRefused { .. })));
}

#[test]
fn an_agent_ends_when_others_have_taken_all_of_its_services() {
    let mut status = status(&["web", "api"]);
    up(&mut status);
    status.handle_bound("web".to_owned(), None, NOW).expect("a URL");
    status.handle_bound("api".to_owned(), None, NOW).expect("a URL");
    let by = Some("host, process 7".to_owned());
    assert_eq!(status.handle_taken_over("web", by.clone(), NOW), Ok(()));
    assert_eq!(status.handle_taken_over("web", by.clone(), NOW), Ok(()), "it is known already");
    let ended = status.handle_taken_over("api", by.clone(), NOW).expect_err("the last one");
    assert_eq!(ended.to_string(), "another agent of this identity serves api now (host, process 7)");
    let told =
        status.take_events().into_iter().filter(|event| matches!(event, AgentEvent::ServiceTakenOver { .. }));
    assert_eq!(told.count(), 2);
}

#[test]
fn an_agent_that_is_to_stay_stays_without_any_service() {
    let spec = ServiceSpec { conflict: ConflictPolicy::Stay, ..(*spec("web")).clone() };
    let mut status = status(&[]);
    status.put_service(Arc::new(spec));
    up(&mut status);
    status.handle_bound("web".to_owned(), None, NOW).expect("a URL");
    assert_eq!(status.handle_taken_over("web", None, NOW), Ok(()));
}

#[test]
fn removing_the_service_that_had_no_answer_brings_the_others_online() {
    let mut status = status(&["web", "api"]);
    up(&mut status);
    assert_eq!(status.handle_bound("web".to_owned(), None, NOW), Ok(()));
    assert_eq!(status.take_events(), []);
    status.remove_service("api", NOW);
    assert!(matches!(&status.take_events()[..], [AgentEvent::Online { .. }]));
}

#[test]
fn an_agent_ends_when_the_relay_names_a_url_that_is_not_its_own() {
    let mut status = status(&["web"]);
    up(&mut status);
    let bound =
        |status: &mut LinkStatus, url: &str| status.handle_bound("web".to_owned(), Some(url.to_owned()), NOW);
    for url in ["javascript:alert(1)", "https://evil.example/", "$(id)"] {
        assert!(matches!(bound(&mut status, url), Err(AgentError::Url(_))), "{url}");
        assert_eq!(status.take_events(), []);
    }
    assert_eq!(bound(&mut status, "https://abc.relay.example/"), Ok(()));
    let endpoint = |url: &str| Endpoint {
        url: url.to_owned(),
        is_proven: true,
        relay: None,
        services: Vec::new(),
        terms: SessionTerms::default(),
    };
    assert!(matches!(status.handle_up(endpoint("https://evil.example"), None, NOW), Err(AgentError::Url(_))));
}

#[test]
fn the_link_is_dialled_then_logged_in_then_online() {
    let mut status = status(&["web"]);
    assert_eq!(status.link_state(NOW), LinkState::Connecting);
    status.handle_open();
    assert_eq!(status.link_state(NOW), LinkState::Authenticating);
    up(&mut status);
    assert_eq!(status.link_state(NOW), LinkState::Authenticating);
    status.handle_bound("web".to_owned(), None, NOW).expect("a URL");
    assert_eq!(status.link_state(NOW), LinkState::Online);
    // A further link of the same session changes nothing.
    status.handle_open();
    assert_eq!(status.link_state(NOW), LinkState::Online);
    let later = NOW + std::time::Duration::from_secs(1);
    status.handle_down(DownReason::Finished, None, Some(later), NOW).expect("another attempt");
    assert_eq!(
        (status.link_state(NOW), status.link_state(later)),
        (LinkState::Waiting, LinkState::Connecting)
    );
}
