//! The pages in their states, on small and large screens, in light and dark: nothing is cut off, and axe finds nothing serious.
//!
//! What they show is made up here, so that each state is the same each time. `HVYM_TUNNEL_PICTURES` names a folder for pictures.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use hvym_tunnel_tests::chromium::{Chromium, Tab};
use hvym_tunnel_tests::http::{Origin, answer};
use serde_json::{Value, json};

use crate::console_fixtures::{console, owner_console};
use crate::page_fixtures::{alert, connection, dashboard, history, link, service};
use crate::pages_built::installed;

/// Width, height, and whether it is dark.
const SCREENS: [(u32, u32, bool); 5] =
    [(360, 780, false), (360, 780, true), (400, 860, false), (1280, 900, false), (1280, 900, true)];

/// A page in one state.
pub(crate) struct State {
    pub(crate) name: &'static str,
    pub(crate) server: Origin,
    /// What follows the address.
    pub(crate) path: &'static str,
    /// A script that says when it is there.
    pub(crate) ready: &'static str,
}

fn built(page: &str) -> PathBuf {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).join("../runner-native");
    crates.join(match page {
        "dashboard" => "manager/assets",
        "inspector" => "inspector/assets",
        _ => "relay/console",
    })
}

/// A file of a page, if `target` names one.
pub(crate) fn file(page: &str, target: &str) -> Option<Vec<u8>> {
    let name = if target == "/" { format!("{page}.html") } else { target.trim_start_matches('/').to_owned() };
    let content = fs::read(built(page).join(&name)).ok()?;
    let kind = match name.rsplit('.').next() {
        Some("js") => "text/javascript",
        Some("css") => "text/css",
        Some("svg") => "image/svg+xml",
        _ => "text/html",
    };
    Some(answer("200 OK", &[("Content-Type", kind)], &content))
}

/// The answer with this content; for nothing, that of a manager without a link.
pub(crate) fn reply(value: &Value) -> Vec<u8> {
    if value.is_null() {
        return answer("503 Service Unavailable", &[], b"{\"error\":\"Tunnel service not available\"}");
    }
    answer("200 OK", &[("Content-Type", "application/json")], value.to_string().as_bytes())
}

/// A manager that answers with the members of `answers`, by their paths; where there is none, nobody answers at all.
fn manager(answers: Value) -> Origin {
    Origin::start(move |mut connection| {
        loop {
            let head = connection.head()?;
            connection.body(&head)?;
            let path = head.target().split('?').next().unwrap_or_default();
            let Some(bytes) = file("dashboard", path).or_else(|| answers.get(path).map(reply)) else {
                return Ok(());
            };
            connection.send(bytes)?;
        }
    })
}

/// A relay whose console's APIs answer with the members of `answers`, by their paths; where there is none, nobody answers at all.
fn relay(answers: Value) -> Origin {
    Origin::start(move |mut connection| {
        loop {
            let head = connection.head()?;
            connection.body(&head)?;
            let path = head.target().split('?').next().unwrap_or_default();
            let Some(name) = path.strip_prefix("/console") else { return Ok(()) };
            let found = file("console", name).or_else(|| answers.get(name).map(reply));
            let Some(bytes) = found else { return Ok(()) };
            connection.send(bytes)?;
        }
    })
}

fn dashboard_states() -> Vec<State> {
    let long = "a-name-of-forty-letters-which-is-the-most";
    let busy = || {
        dashboard(
            vec![
                link("home", "connected", None),
                link("cloud", "reconnecting", Some("the relay does not answer: connection refused")),
            ],
            vec![service("web", true, 12_345), service("llm", false, 17)],
            json!({
                "home": connection("relay", "connected", None), "web": connection("http", "connected", None),
                "llm": connection("ollama", "connected", None), "cloud": connection("cloud", "failed", Some("the relay does not answer: connection refused")),
            }),
            vec![alert(1, "cloud", true), alert(2, "web", false)],
        )
    };
    let state = |name, answers, path, ready| State { name, server: manager(answers), path, ready };
    let mut unconfigured = busy();
    for path in ["/api/status", "/api/metrics"] {
        unconfigured[path] = Value::Null;
    }
    let many = (0..1000).map(|n| service(&format!("service-{n}"), n % 2 == 0, n)).collect();
    let long_url = format!("wss://{}.example/connect", ["very-long-label"; 12].join("."));
    let mut long_link = link(long, "connected", None);
    long_link["relay"] = json!(long_url);
    let mut long_connection = connection("http", "failed", Some(&"nothing is listening there ".repeat(12)));
    long_connection["endpoint"] = json!(long_url);
    let none = dashboard(vec![link("home", "connecting", None)], Vec::new(), json!({}), Vec::new());
    let charts = "document.querySelectorAll('.chart canvas').length === 4";
    vec![
        state("busy", busy(), "/#token=t", charts),
        state(
            "locked",
            busy(),
            "/",
            "document.querySelector('.unlock') !== null && document.querySelector('.tiles') !== null",
        ),
        state("empty", none, "/#token=t", "document.body.innerText.includes('None yet')"),
        state(
            "unconfigured",
            unconfigured,
            "/#token=t",
            "document.body.innerText.includes('No link is set')",
        ),
        state("offline", json!({}), "/#token=t", "document.body.innerText.includes('does not answer')"),
        state(
            "rows",
            dashboard(vec![link("home", "connected", None)], many, json!({}), Vec::new()),
            "/#token=t",
            "document.body.innerText.includes('950 more services')",
        ),
        state(
            "long",
            dashboard(
                vec![long_link],
                vec![service(long, true, 1)],
                json!({ long: long_connection }),
                vec![alert(1, long, true)],
            ),
            "/#token=t",
            charts,
        ),
        state(
            "settings",
            busy(),
            "/#token=t",
            // The page has read the token once its address holds none.
            "location.hash === '#token=t' ? false : (location.hash = 'settings', document.querySelector('.save') !== null)",
        ),
    ]
}

fn console_states() -> Vec<State> {
    let state = |name, answers, path, ready| State { name, server: relay(answers), path, ready };
    let mut signed_out = console(1);
    signed_out["/api/session"]["signed_in"] = json!(false);
    let mut empty = console(0);
    empty["/api/session"]["has_tunnels"] = json!(false);
    empty["/api/tunnels"] = json!([]);
    let mut fresh = console(0);
    fresh["/api/v1/history"]["points"] = json!([]);
    vec![
        state("signed-out", signed_out, "/console/", "document.querySelector('input[name=key]') !== null"),
        state("offline", json!({}), "/console/", "document.body.innerText.includes('does not answer')"),
        state("overview", console(3), "/console/", "document.querySelectorAll('.chart canvas').length === 6"),
        state("fresh", fresh, "/console/", "document.body.innerText.includes('has just started')"),
        state(
            "agents",
            console(3),
            "/console/#agents",
            "(document.querySelector('details.agent') ?? {}).open = true, document.querySelector('details[open] .line') !== null",
        ),
        state("own", owner_console(), "/console/", "document.querySelector('details.agent') !== null"),
        state(
            "own-requests",
            owner_console(),
            "/console/#requests",
            "document.querySelectorAll('table.rows tbody tr').length === 4",
        ),
        state(
            "agent-requests",
            console(1),
            "/console/#requests/GABCDEFGHIJKLMNOPQRSTUVWXYZ234567ABCDEFGHIJKLMNOPQ000000",
            "document.querySelectorAll('table.rows tbody tr').length === 4",
        ),
        state(
            "rows",
            console(1000),
            "/console/#agents",
            "document.body.innerText.includes('950 more agents')",
        ),
        state(
            "nobody",
            console(0),
            "/console/#agents",
            "document.body.innerText.includes('No agent is connected')",
        ),
        state(
            "tunnels",
            console(3),
            "/console/#tunnels",
            "document.querySelectorAll('.row-actions').length > 0",
        ),
        state(
            "no-tunnels",
            empty,
            "/console/#tunnels",
            "document.body.innerText.includes('This relay keeps none')",
        ),
        state(
            "create",
            console(3),
            "/console/#tunnels",
            "document.querySelector('dialog') !== null || ([...document.querySelectorAll('button')].find((one) => one.innerText === 'Create')?.click(), false)",
        ),
        state(
            "requests",
            console(3),
            "/console/#requests/app",
            "document.querySelector('table.rows td') !== null",
        ),
        state(
            "request",
            console(3),
            "/console/#requests/app",
            "document.querySelector('dialog .json') !== null || (document.querySelector('table.rows button')?.click(), false)",
        ),
        state(
            "audit",
            console(3),
            "/console/#audit",
            "document.body.innerText.includes('Changes of tunnels') && document.querySelectorAll('.line').length > 3",
        ),
        state(
            "bans",
            console(3),
            "/console/#bans",
            "document.body.innerText.includes('Who may be an agent')",
        ),
        state(
            "ban",
            console(3),
            "/console/#bans",
            "document.querySelector('dialog') !== null || ([...document.querySelectorAll('button')].find((one) => one.innerText === 'Ban')?.click(), false)",
        ),
        state(
            "limits",
            console(3),
            "/console/#limits",
            // What is open already is left alone: each change has it looked at again.
            "document.querySelectorAll('details.group:not([open])').forEach((one) => { one.open = true; }), document.querySelector('meter') !== null && document.querySelector('details[open] .json') !== null",
        ),
    ]
}

/// What is wider than the screen, if something is.
const OVERFLOW: &str = "document.documentElement.scrollWidth <= innerWidth ? null
    : [...document.querySelectorAll('body *')].filter((one) => one.getBoundingClientRect().right > innerWidth + 0.5)
        .slice(0, 5).map((one) => one.tagName + '.' + one.className)";

/// What axe finds that keeps somebody from using the page.
const VIOLATIONS: &str = "axe.run(document, { resultTypes: ['violations'] }).then(({ violations }) =>
    violations.filter((one) => ['serious', 'critical'].includes(one.impact))
        .map((one) => [one.id, ...one.nodes.slice(0, 3).map((node) => node.target.join(' ') + ': ' + node.failureSummary)]))";

fn try_screens(tab: &Tab, page: &str, state: &State, axe: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (width, height, is_dark) in SCREENS {
        let name = format!("{page}-{}-{width}-{}", state.name, if is_dark { "dark" } else { "light" });
        tab.screen(width, height, is_dark);
        // A tab behind another one is given no frames.
        tab.run("new Promise((resolve) => { requestAnimationFrame(() => requestAnimationFrame(resolve)); setTimeout(resolve, 500); })");
        let wide = tab.run(OVERFLOW);
        if !wide.is_null() {
            found.push(format!("{name} is wider than its screen: {wide}"));
        }
        // The colours and the layout each of which axe looks at.
        if [(360, false), (1280, true)].contains(&(width, is_dark)) {
            tab.run(axe);
            let violations = tab.run(VIOLATIONS);
            if violations != json!([]) {
                found.push(format!("{name}: {violations:#}"));
            }
        }
        if let Some(folder) = std::env::var_os("HVYM_TUNNEL_PICTURES") {
            fs::write(Path::new(&folder).join(format!("{name}.png")), tab.picture())
                .expect("the folder takes a file");
        }
    }
    found
}

pub(crate) fn try_states(chromium: &Arc<Chromium>, page: &str, states: &[State]) {
    let Some(folder) = installed() else { return };
    let axe =
        fs::read_to_string(folder.join("web/node_modules/axe-core/axe.min.js")).expect("npm installed it");
    // What it gives cannot be sent by value.
    let axe = format!("{axe}; void 0");
    let mut found = Vec::new();
    for state in states {
        let tab = chromium.open("about:blank");
        tab.screen(1280, 900, false);
        tab.follow(&format!("http://127.0.0.1:{}{}", state.server.port, state.path));
        tab.until(state.ready);
        found.extend(try_screens(&tab, page, state, &axe));
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn the_dashboard_fits_every_screen_and_everybody_can_use_it() {
    let Some(chromium) = Chromium::shared() else { return };
    try_states(&chromium, "dashboard", &dashboard_states());
}

#[test]
fn the_console_fits_every_screen_and_everybody_can_use_it() {
    let Some(chromium) = Chromium::shared() else { return };
    try_states(&chromium, "console", &console_states());
}

/// Charts are drawn of what the history says, and nothing is asked for that was not let in.
#[test]
fn charts_show_the_history_of_the_range_that_is_chosen() {
    let Some(chromium) = Chromium::shared() else { return };
    let states = dashboard_states();
    let tab = chromium.open("about:blank");
    tab.follow(&format!("http://127.0.0.1:{}/#token=t", states[0].server.port));
    tab.until("document.querySelectorAll('.chart canvas').length === 4");
    let last = history()["points"].as_array().and_then(|points| points.last()).cloned().expect("points");
    tab.until("document.querySelectorAll('.chart .legend b')[0].innerText !== '–'");
    let shown = tab.run("document.querySelectorAll('.chart .legend b')[0].innerText");
    assert_eq!(shown, format!("{:.1} ms", last["p50"].as_f64().expect("a number")));
    tab.run("[...document.querySelectorAll('button')].find((one) => one.innerText === '24 h').click()");
    tab.until("[...document.querySelectorAll('button')].find((one) => one.innerText === '24 h').ariaPressed === 'true'");
    // Ink on the canvas: not all of it is clear.
    let ink = tab.run(
        "(() => {
            const canvas = document.querySelector('.chart canvas');
            return canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data.some((byte) => byte > 0);
        })()",
    );
    assert_eq!(ink, true);
    tab.until("document.body.innerText.includes('Copy URL')");
    tab.run("dispatchEvent(new KeyboardEvent('keydown', { key: 'q' }))");
    tab.until("document.querySelector('dialog svg.qr path')?.getAttribute('d').length > 1000");
    assert_eq!(tab.noise(), Vec::<String>::new());
}
