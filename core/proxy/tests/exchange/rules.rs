//! What passes between a visitor and a service, and when a connection goes on.

use hvym_proxy::{Choice, Closing};

use crate::rig::{Rig, Said};

const GET: &str = "GET /a HTTP/1.1\r\nHost: h\r\n\r\n";

#[test]
fn a_request_passes_and_its_answer_passes_back_and_both_connections_go_on() {
    let mut rig = Rig::new();
    rig.visit(GET);
    assert_eq!(rig.asked(), "GET /a HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_eq!(rig.drained(), [Said::Request("GET /a".into()), Said::Connect(Choice::Any)]);
    rig.answer("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi");
    assert_eq!(rig.seen(), "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi");
    assert_eq!(rig.drained(), [Said::Answered(200), Said::Released(true), Said::Finished]);
    rig.visit("GET /b HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
    rig.answer("HTTP/1.1 204 No Content\r\n\r\n");
    assert_eq!(rig.seen(), "HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n");
    assert_eq!(rig.said.last(), Some(&Said::Closed(Closing::Orderly)));
    assert_eq!(rig.service.len(), 1, "one connection carried both");
}
