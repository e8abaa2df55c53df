//! A real browser without a window, driven over the DevTools protocol through two pipes.
//!
//! It knows nothing of tunnels: pages are opened, scripts run in them, and what they say and give comes back.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use serde_json::{Value, json};

use crate::http::{Origin, answer};
use crate::installed::any_required_tool;
use crate::program::Home;

/// How long a browser may take for anything: it shares two cores with others, and a test of a page with its own relay and agent.
const PATIENCE: Duration = Duration::from_secs(180);

/// Names under which distributions install it.
const NAMES: [&str; 3] = ["chromium", "chromium-browser", "google-chrome"];
/// A user's own browser asks, updates and phones home; a test's does not. It may run as any user, in any container, and the
/// certificates of tests are their own.
const FLAGS: &str = "--headless=new --no-sandbox --disable-gpu --disable-dev-shm-usage --no-first-run \
    --no-default-browser-check --disable-background-networking --disable-component-update --disable-extensions \
    --disable-sync --mute-audio --enable-precise-memory-info --ignore-certificate-errors";

/// A host name that leads to this machine in these browsers, as that of a website whose owner has led it there would.
pub const FOREIGN_HOST: &str = "website.example";

/// The domain of a relay on this machine, whatever is below it included. These browsers take any certificate for it.
pub const RELAY_DOMAIN: &str = "tunnel.example";

/// What a browser said, to whoever waits for it.
#[derive(Default)]
struct Heard {
    next: u64,
    answers: BTreeMap<u64, Sender<Value>>,
    /// What pages wrote to the console, and what they threw for nobody to catch, by session.
    noise: Vec<(String, String)>,
    /// The parts of the last heap snapshot, by session.
    heaps: BTreeMap<String, String>,
    /// Who waits for files to be saved.
    saves: Option<Sender<Value>>,
}

/// A running browser, ended with its last tab.
pub struct Chromium {
    child: Mutex<Child>,
    commands: Mutex<ChildStdin>,
    heard: Arc<Mutex<Heard>>,
    _home: Home,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Chromium {
    /// The browser that all tests of this process share; `None` after its absence was said.
    ///
    /// # Panics
    /// When it does not start, or is missing under `CI`.
    pub fn shared() -> Option<Arc<Self>> {
        static SHARED: Mutex<Weak<Chromium>> = Mutex::new(Weak::new());
        let mut shared = lock(&SHARED);
        if let Some(running) = shared.upgrade() {
            return Some(running);
        }
        let program = any_required_tool(&NAMES)?;
        let started = Arc::new(Self::start(&program));
        *shared = Arc::downgrade(&started);
        Some(started)
    }

    fn start(program: &Path) -> Self {
        let home = Home::new();
        // The protocol wants its pipes as descriptors 3 and 4. When they close, the browser ends.
        let hosts = [FOREIGN_HOST, RELAY_DOMAIN, &format!("*.{RELAY_DOMAIN}")]
            .map(|host| format!("MAP {host} 127.0.0.1"));
        let resolver = format!("'--host-resolver-rules={}'", hosts.join(","));
        let script =
            format!("exec \"$0\" {FLAGS} {resolver} --remote-debugging-pipe about:blank 3<&0 4>&1 >&2");
        let mut child = Command::new("sh")
            .args(["-c", &script])
            .arg(program)
            .env("HOME", home.path(""))
            .env("XDG_CONFIG_HOME", home.path("config"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("there is a shell");
        let commands = child.stdin.take().expect("it was piped");
        let events = child.stdout.take().expect("it was piped");
        let heard = Arc::<Mutex<Heard>>::default();
        let listener = Arc::clone(&heard);
        std::thread::spawn(move || listen(events, &listener));
        Chromium { child: Mutex::new(child), commands: Mutex::new(commands), heard, _home: home }
    }

    /// Opens a page in a tab of its own, and waits until it is loaded.
    pub fn open(self: &Arc<Self>, url: &str) -> Tab {
        let target = self.call(None, "Target.createTarget", json!({"url": "about:blank"}));
        let attach = json!({"targetId": target["targetId"], "flatten": true});
        let session = self.call(None, "Target.attachToTarget", attach);
        let session = session["sessionId"].as_str().expect("a session has an id").to_owned();
        let tab = Tab { chromium: Arc::clone(self), session, target: target["targetId"].clone() };
        tab.call("Runtime.enable", json!({}));
        tab.go(url);
        tab
    }

    /// Has all tabs save files into `folder`; gives what becomes of each, `state` and `filePath` among it.
    pub fn saving_into(&self, folder: &Path) -> Receiver<Value> {
        let (sender, receiver) = channel();
        lock(&self.heard).saves = Some(sender);
        let params = json!({"behavior": "allow", "downloadPath": folder, "eventsEnabled": true});
        self.call(None, "Browser.setDownloadBehavior", params);
        receiver
    }

    fn call(&self, session: Option<&str>, method: &str, params: Value) -> Value {
        let answer = self.send(session, method, params).recv_timeout(PATIENCE);
        let answer = answer.unwrap_or_else(|error| panic!("{method}: {error}"));
        assert!(answer.get("error").is_none(), "{method}: {answer}");
        answer["result"].clone()
    }

    fn send(&self, session: Option<&str>, method: &str, params: Value) -> Receiver<Value> {
        let (sender, receiver) = channel();
        let id = {
            let mut heard = lock(&self.heard);
            heard.next += 1;
            let id = heard.next;
            heard.answers.insert(id, sender);
            id
        };
        let mut command = json!({"id": id, "method": method, "params": params});
        if let Some(session) = session {
            command["sessionId"] = session.into();
        }
        let mut commands = lock(&self.commands);
        // A browser that is gone gives no answer, which whoever waits for it finds out.
        let _unheard = write!(commands, "{command}\0").and_then(|()| commands.flush());
        receiver
    }
}

impl Drop for Chromium {
    fn drop(&mut self) {
        let mut child = lock(&self.child);
        // Already gone is as good.
        let _gone = child.kill();
        let _status = child.wait();
    }
}

fn listen(events: impl Read, heard: &Mutex<Heard>) {
    for message in BufReader::new(events).split(0).map_while(Result::ok) {
        let Ok(message) = serde_json::from_slice::<Value>(&message) else { continue };
        let mut heard = lock(heard);
        if let Some(id) = message["id"].as_u64() {
            if let Some(waiting) = heard.answers.remove(&id) {
                // Nobody waits any more: the test has failed already.
                let _unheard = waiting.send(message);
            }
            continue;
        }
        let session = message["sessionId"].as_str().unwrap_or_default().to_owned();
        match message["method"].as_str() {
            Some("Runtime.consoleAPICalled" | "Runtime.exceptionThrown") => {
                heard.noise.push((session, message["params"].to_string()));
            }
            Some("Browser.downloadProgress") if message["params"]["state"] != "inProgress" => {
                // A test that has failed already waits for none.
                let _unheard = heard.saves.as_ref().map(|saves| saves.send(message["params"].clone()));
            }
            Some("HeapProfiler.addHeapSnapshotChunk") => {
                let chunk = message["params"]["chunk"].as_str().unwrap_or_default();
                heard.heaps.entry(session).or_default().push_str(chunk);
            }
            _ => {}
        }
    }
    // Nobody will answer any more.
    lock(heard).answers.clear();
}

/// A tab, closed when it is dropped.
pub struct Tab {
    chromium: Arc<Chromium>,
    session: String,
    target: Value,
}

/// A script that goes on.
pub struct Running(Receiver<Value>);

impl Running {
    /// What the script gave, or why it did not end: the page that it ran in may be gone.
    fn outcome(self) -> Result<Value, Value> {
        let answer = self.0.recv_timeout(PATIENCE).expect("the browser answers");
        match (answer.get("error"), answer["result"].get("exceptionDetails")) {
            (None, None) => Ok(answer["result"]["result"]["value"].clone()),
            _ => Err(answer),
        }
    }

    /// What the script gave.
    ///
    /// # Panics
    /// When it threw, or does not end.
    pub fn value(self) -> Value {
        let answer = self.0.recv_timeout(PATIENCE).expect("the script ends");
        assert!(answer.get("error").is_none(), "{answer}");
        let outcome = &answer["result"];
        if let Some(thrown) = outcome.get("exceptionDetails") {
            panic!("the page threw {thrown:#}");
        }
        outcome["result"]["value"].clone()
    }
}

impl Tab {
    /// Loads another page.
    pub fn go(&self, url: &str) {
        self.call("Page.enable", json!({}));
        self.call("Page.navigate", json!({"url": url}));
        self.run("new Promise((resolve) => document.readyState === 'complete' ? resolve() : addEventListener('load', resolve))");
        let at = self.run("location.href");
        assert_eq!(at.as_str(), Some(url));
    }

    /// What a script gives, or the promise that it gives.
    pub fn run(&self, script: &str) -> Value {
        self.begin(script).value()
    }

    /// The same for the body of an async function.
    pub fn block(&self, body: &str) -> Value {
        self.run(&wrapped(body))
    }

    /// Begins a script, and does not wait for it.
    pub fn begin(&self, script: &str) -> Running {
        let params = json!({
            "expression": script, "awaitPromise": true, "returnByValue": true, "replMode": false,
            "userGesture": true,
        });
        Running(self.chromium.send(Some(&self.session), "Runtime.evaluate", params))
    }

    /// The same for the body of an async function.
    pub fn begin_block(&self, body: &str) -> Running {
        self.begin(&wrapped(body))
    }

    /// Follows a link, wherever that leads.
    pub fn follow(&self, url: &str) {
        self.call("Page.enable", json!({}));
        self.call("Page.navigate", json!({"url": url}));
    }

    /// Waits until `condition` holds in whatever page is there by then; looked at with each change of a page.
    ///
    /// # Panics
    /// When it never does.
    pub fn until(&self, condition: &str) {
        let started = std::time::Instant::now();
        let script = format!(
            "new Promise((resolve) => {{
               const look = () => {{ if ({condition}) {{ changes.disconnect(); resolve(true); }} }};
               // A page that is replaced has no body for a moment: what fails now is looked at again.
               const changes = new MutationObserver(() => {{ try {{ look(); }} catch {{}} }});
               changes.observe(document, {{ subtree: true, childList: true, attributes: true, characterData: true }});
               look();
               // A page that changes no more is looked at anew.
               setTimeout(resolve, 1000, false);
             }})"
        );
        loop {
            let outcome = self.begin(&script).outcome();
            if outcome == Ok(Value::Bool(true)) {
                return;
            }
            if started.elapsed() > PATIENCE {
                let page = self.begin("[location.href, document.body?.innerText]").outcome();
                panic!("{condition}: {outcome:?} in {page:?}");
            }
        }
    }

    /// What the page wrote to the console or threw for nobody to catch.
    pub fn noise(&self) -> Vec<String> {
        let heard = lock(&self.chromium.heard);
        heard
            .noise
            .iter()
            .filter(|(session, _)| *session == self.session)
            .map(|(_, said)| said.clone())
            .collect()
    }

    /// Makes the screen so large, in pixels of CSS, and has the person prefer dark colours or light ones, and nothing that moves. The
    /// tab comes before the others.
    pub fn screen(&self, width: u32, height: u32, is_dark: bool) {
        self.call("Page.bringToFront", json!({}));
        let metrics = json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": false});
        self.call("Emulation.setDeviceMetricsOverride", metrics);
        let scheme = if is_dark { "dark" } else { "light" };
        let features = json!([
            {"name": "prefers-color-scheme", "value": scheme},
            {"name": "prefers-reduced-motion", "value": "reduce"},
        ]);
        self.call("Emulation.setEmulatedMedia", json!({ "features": features }));
    }

    /// The page as a picture (PNG).
    ///
    /// # Panics
    /// When the browser sends none.
    pub fn picture(&self) -> Vec<u8> {
        let taken = self.call("Page.captureScreenshot", json!({"format": "png"}));
        let data = taken["data"].as_str().expect("a picture");
        data_encoding::BASE64.decode(data.as_bytes()).expect("BASE64")
    }

    /// Everything that scripts of the page hold, texts among it, as V8 writes it down after it has collected what nobody holds.
    pub fn heap(&self) -> String {
        self.call("HeapProfiler.enable", json!({}));
        self.call("HeapProfiler.takeHeapSnapshot", json!({"reportProgress": false}));
        lock(&self.chromium.heard).heaps.remove(&self.session).unwrap_or_default()
    }

    fn call(&self, method: &str, params: Value) -> Value {
        self.chromium.call(Some(&self.session), method, params)
    }
}

fn wrapped(body: &str) -> String {
    format!("(async () => {{ {body} }})()")
}

impl Drop for Tab {
    fn drop(&mut self) {
        // Not waited for: it may be the browser's own end.
        let _closing =
            self.chromium.send(None, "Target.closeTarget", json!({"targetId": self.target.clone()}));
    }
}

/// The file of `folder` that `target` asks for below `prefix`, and its media type. The prefix may also be the whole name of
/// one file.
pub(crate) fn file_in(prefix: &str, folder: &Path, target: &str) -> Option<(&'static str, Vec<u8>)> {
    let name = target.strip_prefix(prefix).filter(|name| !name.contains(".."))?;
    let bytes = std::fs::read(if name.is_empty() { folder.to_path_buf() } else { folder.join(name) }).ok()?;
    let kind = match target.rsplit('.').next() {
        Some("js" | "mjs") => "text/javascript",
        Some("wasm") => "application/wasm",
        Some("css") => "text/css",
        _ => "text/html",
    };
    Some((kind, bytes))
}

/// Serves the files of some folders to browsers: `(path prefix, folder)`.
pub fn files(folders: &[(&'static str, &Path)]) -> Origin {
    let folders: Vec<_> = folders.iter().map(|(prefix, folder)| (*prefix, folder.to_path_buf())).collect();
    Origin::answering(move |head, _| {
        match folders.iter().find_map(|(prefix, folder)| file_in(prefix, folder, head.target())) {
            Some((kind, bytes)) => answer("200 OK", &[("Content-Type", kind)], &bytes),
            None => answer("404 Not Found", &[], b""),
        }
    })
}
