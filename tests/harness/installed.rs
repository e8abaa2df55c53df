//! Programs of others that tests meet: visitors and services as people really run them.
//!
//! One that is missing is said loudly, and its tests pass without it; under `CI=true` that is a failure.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::program::{Home, Program, skipped};

/// Whether somebody insists that nothing is skipped.
fn insisted() -> bool {
    env::var("CI").is_ok_and(|value| value == "true")
}

/// The program called `name`, or `None` after its absence was said.
///
/// # Panics
/// When it is missing and somebody insists.
pub fn installed(name: &str) -> Option<PathBuf> {
    // Servers live where the PATH of a person who is not root does not lead.
    let path = env::var_os("PATH").unwrap_or_default();
    let folders = env::split_paths(&path).chain(["/usr/local/sbin".into(), "/usr/sbin".into()]);
    let found = folders.map(|folder| folder.join(name)).find(|program| program.is_file());
    if found.is_none() {
        assert!(!insisted(), "under CI=true, {name} must be installed");
        skipped(&format!("what {name} would show: it is not installed"));
    }
    found
}

/// The Python that has the packages of others, or `None` after its absence was said.
///
/// # Panics
/// When it is missing and somebody insists.
pub fn packaged_python() -> Option<PathBuf> {
    let python = env::var_os("HVYM_TUNNEL_PYTHON").map(PathBuf::from);
    if python.is_none() {
        assert!(!insisted(), "under CI=true, HVYM_TUNNEL_PYTHON must name a python with the packages");
        skipped("set HVYM_TUNNEL_PYTHON to a python that has the packages of xtask/src/peers.rs");
    }
    python
}

/// The folder of tunely's programs, or `None` after its absence was said.
///
/// # Panics
/// When it is missing and somebody insists.
pub fn tunely_folder() -> Option<PathBuf> {
    let folder = env::var_os("HVYM_TUNNEL_TUNELY").map(PathBuf::from);
    if folder.is_none() {
        assert!(!insisted(), "under CI=true, HVYM_TUNNEL_TUNELY must name the folder of tunely's programs");
        skipped("set HVYM_TUNNEL_TUNELY to a folder as xtask/src/peers.rs makes it");
    }
    folder
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
    /// When it does not start, or is missing and somebody insists.
    pub fn start(server: &str) -> Option<Self> {
        let nginx = installed("nginx")?;
        let (home, port) = (Home::new(), crate::http::nobody());
        let at = home.path("");
        let at = at.display();
        std::fs::create_dir_all(home.path("www")).expect("a folder takes a folder");
        let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|name| format!("{name}_temp_path {at}/{name};\n"))
            .concat();
        // Without a master there is one process, which dies when it is killed.
        let config = format!(
            "daemon off;\nmaster_process off;\npid {at}/pid;\nerror_log stderr notice;\nevents {{}}\n\
             http {{\naccess_log off;\ndefault_type application/octet-stream;\n{temporary}\
             server {{\nlisten 127.0.0.1:{port};\nroot {at}/www;\n{server}\n}}\n}}\n"
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
