//! Browsers of several engines, in which a page runs by itself and reports what it saw.
//!
//! Nothing but a URL is given to a browser, so that none of them needs a driver. It knows nothing of tunnels.

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::Value;

use crate::chromium::{Chromium, Tab, file_in};
use crate::http::{Origin, answer};
use crate::installed::any_required_tool;
use crate::program::{Home, Program};

/// How long a page may take: a browser of which all files are cold starts within 20 s.
const PATIENCE: Duration = Duration::from_secs(120);
/// Where pages send their reports.
pub const REPORT: &str = "/report";
/// A new profile asks, updates and phones home; a test's does not.
const FIREFOX_SETTINGS: &str = r#"
user_pref("app.normandy.enabled", false);
user_pref("app.update.enabled", false);
user_pref("browser.aboutwelcome.enabled", false);
user_pref("browser.safebrowsing.malware.enabled", false);
user_pref("browser.safebrowsing.phishing.enabled", false);
user_pref("browser.shell.checkDefaultBrowser", false);
user_pref("browser.startup.page", 0);
user_pref("datareporting.healthreport.uploadEnabled", false);
user_pref("datareporting.policy.dataSubmissionEnabled", false);
user_pref("extensions.getAddons.cache.enabled", false);
user_pref("extensions.update.enabled", false);
user_pref("network.captive-portal-service.enabled", false);
user_pref("network.connectivity-service.enabled", false);
user_pref("services.settings.server", "http://127.0.0.1:9");
user_pref("toolkit.telemetry.enabled", false);
user_pref("trailhead.firstrun.didSeeAboutWelcome", true);
"#;

/// What shows pages.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Engine {
    /// Blink, in Chromium.
    Chromium,
    /// Gecko, in Firefox.
    Firefox,
    /// WebKit, in the browser that comes with WebKitGTK.
    WebKit,
}

/// A page that is shown until this is dropped.
#[expect(dead_code, reason = "they are kept for what their ends do")]
enum Showing {
    Tab(Tab),
    Browser(Group, Option<Program>, Home),
}

/// A process and those that it has started, ended when it is dropped.
struct Group(Child);

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(group) = i32::try_from(self.0.id()).ok().and_then(Pid::from_raw) {
            // Already gone is as good.
            let _gone = kill_process_group(group, Signal::KILL);
        }
        let _status = self.0.wait();
    }
}

/// A browser that shows a page.
pub struct Opened(#[expect(dead_code, reason = "it is kept for what its end does")] Showing);

impl Engine {
    /// All of them.
    pub const ALL: [Engine; 3] = [Engine::Chromium, Engine::Firefox, Engine::WebKit];

    /// As people call it.
    pub fn name(self) -> &'static str {
        match self {
            Engine::Chromium => "Chromium",
            Engine::Firefox => "Firefox",
            Engine::WebKit => "WebKit",
        }
    }

    /// Opens a page in a browser with nothing else in it; `None` after its absence was said.
    ///
    /// # Panics
    /// When it does not start, or is missing under `CI`.
    pub fn open(self, url: &str) -> Option<Opened> {
        let showing = match self {
            Engine::Chromium => Showing::Tab(Chromium::shared()?.open(url)),
            Engine::Firefox => {
                let home = Home::new();
                fs::write(home.path("user.js"), FIREFOX_SETTINGS).expect("a folder takes a file");
                let mut command = Command::new(any_required_tool(&["firefox-esr", "firefox"])?);
                command.args(["--headless", "--no-remote", "--profile"]).arg(home.path("")).arg(url);
                Showing::Browser(started(command, &home), None, home)
            }
            Engine::WebKit => {
                let (browser, screen) = (mini_browser()?, any_required_tool(&["Xvfb"])?);
                let home = Home::new();
                let mut server = Command::new(screen);
                server.args(["-displayfd", "1", "-screen", "0", "800x600x24", "-nolisten", "tcp"]);
                let mut screen = Program::start(server);
                let mut command = Command::new(browser);
                command.env("DISPLAY", format!(":{}", screen.line())).arg(url);
                // A machine of tests has no graphics.
                command.envs([("LIBGL_ALWAYS_SOFTWARE", "1"), ("WEBKIT_DISABLE_DMABUF_RENDERER", "1")]);
                Showing::Browser(started(command, &home), Some(screen), home)
            }
        };
        Some(Opened(showing))
    }
}

fn started(mut command: Command, home: &Home) -> Group {
    command.env("HOME", home.path("")).env("XDG_CONFIG_HOME", home.path("config"));
    command.env("XDG_CACHE_HOME", home.path("cache")).env("XDG_DATA_HOME", home.path("data"));
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).process_group(0);
    Group(command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}")))
}

/// The browser that Debian's packages of WebKitGTK have, beside its libraries.
fn mini_browser() -> Option<PathBuf> {
    let folders = fs::read_dir("/usr/lib").into_iter().flatten().flatten();
    let versions = ["webkitgtk-6.0", "webkit2gtk-4.1", "webkit2gtk-4.0"];
    let mut places =
        folders.flat_map(|folder| versions.map(|version| folder.path().join(version).join("MiniBrowser")));
    places.find(|place| place.is_file()).or_else(|| any_required_tool(&["MiniBrowser"]))
}

/// A page: its path, its header fields and its content.
pub type SitePage = (&'static str, Vec<(&'static str, &'static str)>, String);

/// Serves files, and takes the reports of pages.
pub struct Site {
    /// Where, on this machine.
    pub port: u16,
    reports: Receiver<Value>,
}

impl Site {
    /// One of some folders, `(path prefix, folder)`, and of some pages.
    pub fn new(folders: &[(&'static str, &Path)], pages: Vec<SitePage>) -> Self {
        let folders: Vec<_> = folders.iter().map(|(prefix, at)| (*prefix, at.to_path_buf())).collect();
        let (sender, reports) = channel();
        let origin = Origin::answering(move |head, body| {
            let path = head.target().split('?').next().unwrap_or_default();
            if path == REPORT {
                // A test that has failed already waits for none.
                let _unheard = sender.send(serde_json::from_slice(&body).unwrap_or_default());
                return answer("204 No Content", &[], b"");
            }
            if let Some((_, fields, content)) = pages.iter().find(|(name, ..)| *name == path) {
                let fields = [&[("Content-Type", "text/html")], fields.as_slice()].concat();
                return answer("200 OK", &fields, content.as_bytes());
            }
            match folders.iter().find_map(|(prefix, folder)| file_in(prefix, folder, path)) {
                Some((kind, bytes)) => answer("200 OK", &[("Content-Type", kind)], &bytes),
                None => answer("404 Not Found", &[], b""),
            }
        });
        Site { port: origin.port, reports }
    }

    /// The URL of a page with a query.
    pub fn url(&self, path: &str, query: &str) -> String {
        format!("http://127.0.0.1:{}{path}?{query}", self.port)
    }

    /// The URL that pages of any origin send their reports to.
    pub fn report_url(&self) -> String {
        format!("http://127.0.0.1:{}{REPORT}", self.port)
    }

    /// The next report; an error if none comes.
    ///
    /// # Errors
    /// What is wrong, for a table.
    pub fn report(&self) -> Result<Value, String> {
        self.reports.recv_timeout(PATIENCE).map_err(|_| "the page says nothing".to_owned())
    }
}
