//! Database servers, as Debian has them: started in a folder of their own, on a Unix socket, and gone at the end.
//!
//! Both refuse to run as root, and run as another user then.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::installed::{required_tool, skip};
use crate::program::{Home, PATIENCE};

/// Where Debian keeps what PostgreSQL needs, by version.
const POSTGRES: &str = "/usr/lib/postgresql";

/// What is started.
#[derive(Clone, Debug)]
enum Kind {
    Postgres { programs: PathBuf },
    MariaDb { server: PathBuf },
}

/// A running server.
#[derive(Debug)]
pub struct DatabaseServer {
    kind: Kind,
    home: Home,
    user: Option<&'static str>,
    child: Child,
}

impl DatabaseServer {
    /// A PostgreSQL server with an empty database; `None` after it was said that there is none.
    ///
    /// # Panics
    /// When it does not start, or is missing under `CI`.
    pub fn postgres() -> Option<Self> {
        let versions = fs::read_dir(POSTGRES).into_iter().flatten().flatten();
        let Some(programs) = versions.map(|version| version.path().join("bin")).max() else {
            skip("postgresql is not installed");
            return None;
        };
        let (home, user) = (Home::new(), user("postgres"));
        let data = folder(&home, user);
        run(command(user, &programs.join("initdb"))
            .args(["-A", "trust", "-U", "relay", "-E", "UTF8", "-N", "-D"])
            .arg(&data));
        Some(Self::started(Kind::Postgres { programs }, home, user))
    }

    /// A MariaDB server with an empty database; `None` after it was said that there is none.
    ///
    /// # Panics
    /// When it does not start, or is missing under `CI`.
    pub fn mariadb() -> Option<Self> {
        let install = required_tool("mariadb-install-db")?;
        let server = required_tool("mariadbd")?;
        let (home, user) = (Home::new(), user("mysql"));
        let data = folder(&home, user);
        let mut command = command(user, &install);
        command.args(["--no-defaults", "--auth-root-authentication-method=normal", "--skip-test-db"]);
        // Two installations at once remove each other's temporary tables from a folder that they share.
        command.arg(format!("--tmpdir={}", data.display()));
        run(command.arg(format!("--datadir={}", data.display())));
        Some(Self::started(Kind::MariaDb { server }, home, user))
    }

    fn started(kind: Kind, home: Home, user: Option<&'static str>) -> Self {
        let child = Self::spawn(&kind, &home, user);
        let mut server = DatabaseServer { kind, home, user, child };
        server.await_ready();
        server.sql("", "CREATE DATABASE tunnels");
        server
    }

    fn spawn(kind: &Kind, home: &Home, user: Option<&'static str>) -> Child {
        let data = home.path("data");
        let mut command = match kind {
            Kind::Postgres { programs } => {
                let mut command = command(user, &programs.join("postgres"));
                command
                    .arg("-D")
                    .arg(&data)
                    .args(["-c", "listen_addresses=", "-c", "fsync=off", "-k"])
                    .arg(&data);
                command
            }
            Kind::MariaDb { server } => {
                let mut command = command(user, server);
                command.args(["--no-defaults", "--skip-networking", "--innodb-flush-log-at-trx-commit=2"]);
                command.arg(format!("--datadir={}", data.display()));
                command.arg(format!("--tmpdir={}", data.display()));
                command.arg(format!("--socket={}/s", data.display()));
                command
            }
        };
        let log = fs::File::create(home.path("log")).expect("a folder takes a file");
        command.stdout(Stdio::null()).stderr(log).spawn().expect("the server is there")
    }

    /// The URL of its database.
    pub fn url(&self) -> String {
        let data = self.home.path("data");
        match self.kind {
            Kind::Postgres { .. } => {
                format!("postgresql+asyncpg://relay@localhost/tunnels?host={}", data.display())
            }
            Kind::MariaDb { .. } => {
                format!("mysql+aiomysql://root@localhost/tunnels?unix_socket={}/s", data.display())
            }
        }
    }

    /// Runs statements in the database `name`, and returns what they print.
    ///
    /// # Panics
    /// When they fail.
    pub fn sql(&self, name: &str, statements: &str) -> String {
        let output = self.client(name, statements).output().expect("the client is there");
        assert!(output.status.success(), "{statements}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    fn client(&self, name: &str, statements: &str) -> Command {
        let data = self.home.path("data");
        match &self.kind {
            Kind::Postgres { programs } => {
                let mut command = Command::new(programs.join("psql"));
                let name = if name.is_empty() { "postgres" } else { name };
                command.arg("-h").arg(&data).args([
                    "-U",
                    "relay",
                    "-XqAt",
                    "-v",
                    "ON_ERROR_STOP=1",
                    name,
                    "-c",
                    statements,
                ]);
                command
            }
            Kind::MariaDb { .. } => {
                let mut command = Command::new("mariadb");
                command.args(["--no-defaults", "-u", "root", "-N", "-B"]);
                command.arg(format!("--socket={}/s", data.display())).args(["-e", statements, name]);
                command
            }
        }
    }

    /// Waits until it answers.
    fn await_ready(&mut self) {
        let deadline = Instant::now() + PATIENCE;
        while !self.client("", "SELECT 1").output().expect("the client is there").status.success() {
            let ended = self.child.try_wait().expect("a child");
            let log = fs::read_to_string(self.home.path("log")).unwrap_or_default();
            assert!(ended.is_none() && Instant::now() < deadline, "the database does not start: {log}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Ends it as a power cut would.
    ///
    /// # Panics
    /// When it cannot be ended.
    pub fn kill(&mut self) {
        let own = self.child.id();
        let children = fs::read_to_string(format!("/proc/{own}/task/{own}/children")).unwrap_or_default();
        let children = children.split_whitespace().filter_map(|pid| pid.parse().ok());
        // The server first, which would replace the others.
        for pid in std::iter::once(i32::try_from(own).expect("a number of a process")).chain(children) {
            let _gone = Pid::from_raw(pid).map(|pid| kill_process(pid, Signal::KILL));
        }
        self.child.wait().expect("a child");
    }

    /// Starts it again.
    pub fn restart(&mut self) {
        // Of a process that is gone.
        let _none = fs::remove_file(self.home.path("data/postmaster.pid"));
        self.child = Self::spawn(&self.kind, &self.home, self.user);
        self.await_ready();
    }
}

impl Drop for DatabaseServer {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The user that a server runs as, if this process is root.
fn user(name: &'static str) -> Option<&'static str> {
    rustix::process::geteuid().is_root().then_some(name)
}

fn command(user: Option<&str>, program: &Path) -> Command {
    match user {
        Some(user) => {
            let mut command = Command::new("setpriv");
            command.args([&format!("--reuid={user}"), &format!("--regid={user}"), "--clear-groups", "--"]);
            command.arg(program);
            command
        }
        None => Command::new(program),
    }
}

fn run(command: &mut Command) {
    let output = command.output().expect("the program is there");
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// A folder for the data, which belongs to `user`.
fn folder(home: &Home, user: Option<&str>) -> PathBuf {
    let data = home.path("data");
    fs::create_dir_all(&data).expect("a folder takes a folder");
    fs::set_permissions(home.path(""), fs::Permissions::from_mode(0o755))
        .expect("its owner may change a mode");
    if let Some(user) = user {
        run(Command::new("chown").arg(user).arg(&data));
        fs::set_permissions(&data, fs::Permissions::from_mode(0o755)).expect("root may change a mode");
    }
    data
}
