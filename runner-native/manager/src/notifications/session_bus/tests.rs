//! Addresses of buses, and texts of others.

use super::*;

#[test]
fn the_first_unix_socket_of_an_address_is_taken() {
    let path = |path: &str| Some(SessionBus::Path(path.into()));
    for (address, expected) in [
        ("unix:path=/run/user/1000/bus", path("/run/user/1000/bus")),
        ("unix:path=/tmp/dbus-x,guid=0123", path("/tmp/dbus-x")),
        ("unix:guid=0123,path=/tmp/a%20b", path("/tmp/a b")),
        ("tcp:host=localhost,port=1;unix:path=/a;unix:path=/b", path("/a")),
        ("unix:runtime=yes", None),
        ("autolaunch:", None),
        ("", None),
        ("unix:path", None),
    ] {
        assert_eq!(SessionBus::parse(address), expected, "{address}");
    }
    #[cfg(target_os = "linux")]
    assert_eq!(
        SessionBus::parse("unix:abstract=/tmp/dbus-x,guid=0"),
        Some(SessionBus::Abstract(b"/tmp/dbus-x".to_vec()))
    );
}

#[test]
fn a_text_of_others_is_cut_and_steers_nothing() {
    for (length, is_cut) in [(MAX_TEXT - 1, false), (MAX_TEXT, false), (MAX_TEXT + 1, true)] {
        let text = "\u{e4}".repeat(length);
        let shown = shown(&text);
        assert_eq!((shown.chars().count(), shown.ends_with('\u{2026}')), (length, is_cut));
    }
    assert_eq!(shown("a\0b\nc\u{1b}[1m"), "a b c [1m");
    assert_eq!(escaped("<a href=\"x\">&</a>"), "&lt;a href=\"x\"&gt;&amp;&lt;/a&gt;");
}
