//! Programs of others that tests meet: visitors and services as people really run them.
//!
//! A test that lacks one says so by [`skip`] and passes; under `CI` it fails.

use std::env;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::program::{Home, Program};

/// Whether a test that cannot run is a failure: whether `CI` is set to anything but nothing, `0` or `false`.
fn insisted() -> bool {
    !matches!(env::var("CI").as_deref(), Err(_) | Ok("" | "0" | "false"))
}

/// Says that this test does not run, or runs without a part, because `missing` is missing.
///
/// The test command lists all of these at its end: `HVYM_TUNNEL_SKIPPED` names the file that they are added to.
///
/// # Panics
/// Under `CI`.
pub fn skip(missing: &str) {
    assert!(!insisted(), "under CI, nothing may be skipped: {missing}");
    let thread = std::thread::current();
    let line = format!("{}: {missing}\n", thread.name().unwrap_or("a test"));
    // Not eprintln!, which the test runner swallows.
    let _unheard = write!(std::io::stderr(), "SKIPPED: {line}");
    if let Some(list) = env::var_os("HVYM_TUNNEL_SKIPPED") {
        let list = std::fs::OpenOptions::new().append(true).create(true).open(list);
        let _unheard = list.and_then(|mut list| list.write_all(line.as_bytes()));
    }
}

/// The program called `name`, or `None` after its absence was said.
///
/// # Panics
/// When it is missing under `CI`.
pub fn required_tool(name: &str) -> Option<PathBuf> {
    any_required_tool(&[name])
}

/// The first of these programs that is there, or `None` after their absence was said.
///
/// # Panics
/// When all are missing under `CI`.
pub fn any_required_tool(names: &[&str]) -> Option<PathBuf> {
    // Servers live where the PATH of a person who is not root does not lead.
    let path = env::var_os("PATH").unwrap_or_default();
    let folders: Vec<PathBuf> =
        env::split_paths(&path).chain(["/usr/local/sbin".into(), "/usr/sbin".into()]).collect();
    let mut programs = names.iter().flat_map(|name| folders.iter().map(move |folder| folder.join(name)));
    let found = programs.find(|program| program.is_file());
    if found.is_none() {
        skip(&format!("{} is not installed", names.join(" or ")));
    }
    found
}

/// The Python that has the packages of others, or `None` after its absence was said.
///
/// # Panics
/// When it is missing under `CI`.
pub fn packaged_python() -> Option<PathBuf> {
    required_variable("HVYM_TUNNEL_PYTHON", "a python that has the packages of xtask/src/peers.rs")
}

/// The folder of tunely's programs, or `None` after its absence was said.
///
/// # Panics
/// When it is missing under `CI`.
pub fn tunely_folder() -> Option<PathBuf> {
    required_variable("HVYM_TUNNEL_TUNELY", "a folder as xtask/src/peers.rs makes it")
}

/// The folder of the package socket.io, or `None` after its absence was said.
///
/// # Panics
/// When it is missing under `CI`.
pub fn socket_io_folder() -> Option<PathBuf> {
    required_variable("HVYM_TUNNEL_SOCKET_IO", "a folder as xtask/src/peers.rs makes it")
}

fn required_variable(name: &str, what: &str) -> Option<PathBuf> {
    let path = env::var_os(name).map(PathBuf::from);
    if path.is_none() {
        skip(&format!("{name} does not name {what}"));
    }
    path
}

/// A script of `tests/peers`, run by `interpreter`.
pub fn peer(interpreter: &Path, arguments: &[&str]) -> Program {
    Program::start(peer_command(interpreter, arguments))
}

/// The same, about to start.
pub fn peer_command(interpreter: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(interpreter);
    let peers = Path::new(env!("CARGO_MANIFEST_DIR")).join("peers");
    command.args(arguments).current_dir(peers).env("PYTHONUNBUFFERED", "1");
    command
}

/// A running nginx with its files; both are gone when it is dropped.
#[derive(Debug)]
pub struct Nginx {
    _program: Program,
    home: Home,
    /// Where it listens, on this machine.
    pub port: u16,
}

impl Nginx {
    /// One that serves the folder [`Nginx::file`] leads into; `server` is more of its server block.
    ///
    /// # Panics
    /// When it does not start, or is missing under `CI`.
    pub fn start(server: &str) -> Option<Self> {
        let port = crate::http::nobody();
        Self::serving(port, |folder| {
            format!("server {{\nlisten 127.0.0.1:{port};\nroot {folder}/www;\n{server}\n}}\n")
        })
    }

    /// One that listens at `port` as its servers say, which may have files in this folder.
    ///
    /// # Panics
    /// When it does not start, or is missing under `CI`.
    pub fn serving(port: u16, servers: impl FnOnce(&str) -> String) -> Option<Self> {
        let nginx = required_tool("nginx")?;
        let home = Home::new();
        let at = home.path("");
        let at = at.to_str().expect("text");
        let servers = servers(at);
        std::fs::create_dir_all(home.path("www")).expect("a folder takes a folder");
        let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|name| format!("{name}_temp_path {at}/{name};\n"))
            .concat();
        // Without a master there is one process, which dies when it is killed.
        let config = format!(
            "daemon off;\nmaster_process off;\npid {at}/pid;\nerror_log stderr notice;\nevents {{}}\n\
             http {{\naccess_log off;\ndefault_type application/octet-stream;\n{temporary}{servers}}}\n"
        );
        std::fs::write(home.path("nginx.conf"), config).expect("a folder takes a file");
        let mut command = Command::new(nginx);
        command.arg("-p").arg(home.path("")).args(["-e", "stderr", "-c"]).arg(home.path("nginx.conf"));
        let mut program = Program::start(command);
        // It says so when it listens already.
        program.says("event method");
        Some(Nginx { _program: program, home, port })
    }

    /// The file `name` that it serves.
    pub fn file(&self, name: &str) -> PathBuf {
        self.home.path("www").join(name)
    }
}
