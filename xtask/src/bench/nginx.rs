//! nginx, twice: as the service behind every path, and as the proxy chain that a tunnel is compared with.

use std::fs::{self, File};
use std::net::{Ipv4Addr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::certificate::Certificate;
use super::process::{Folder, PATIENCE, Process, find, free_ports};

/// The small file of the requests that are counted, bytes.
const SMALL_BYTES: usize = 1024;
/// How often a port is tried until nginx listens there.
const GLANCE: Duration = Duration::from_millis(20);

/// A service with a small file, `/small`, and a large one, `/large`.
pub(super) struct Origin {
    pub(super) port: u16,
    _process: Process,
    /// The large file, for whoever wants to send it.
    pub(super) large: PathBuf,
    files: PathBuf,
}

/// The origin and a sink behind TLS.
pub(super) struct Encrypted {
    pub(super) ports: [u16; 2],
    _process: Process,
}

impl Origin {
    pub(super) fn start(folder: &Folder, large_bytes: u64) -> Result<Self> {
        let files = folder.folder("files")?;
        fs::write(files.join("small"), [b'.'; SMALL_BYTES])?;
        // Sparse: it takes no room, and reading it costs what reading cached pages costs.
        let large = files.join("large");
        File::create(&large)?.set_len(large_bytes)?;
        let [port] = free_ports()?;
        let server = format!(
            "server {{ listen 127.0.0.1:{port} backlog=4096; root {}; sendfile on; tcp_nopush on; }}",
            files.display()
        );
        let process = start(&folder.folder("origin")?, &server, port)?;
        Ok(Origin { port, _process: process, large, files })
    }

    /// The same files behind TLS, and beside them what listens on the port `sink`.
    pub(super) fn encrypted(&self, folder: &Folder, sink: u16, tls: &Certificate) -> Result<Encrypted> {
        let ports = free_ports::<2>()?;
        let listen = |port| {
            let (certificate, key) = (tls.certificate.display(), tls.key.display());
            format!(
                "server {{ listen 127.0.0.1:{port} ssl backlog=4096; ssl_certificate {certificate}; ssl_certificate_key {key};"
            )
        };
        let files = format!("{} root {}; }}", listen(ports[0]), self.files.display());
        let sink = format!(
            "{} location / {{ proxy_pass http://127.0.0.1:{sink}; proxy_http_version 1.1; proxy_request_buffering off; }} }}",
            listen(ports[1])
        );
        let process = start(&folder.folder("encrypted")?, &[files, sink].concat(), ports[1])?;
        Ok(Encrypted { ports, _process: process })
    }

    /// Adds a sparse file.
    pub(super) fn file(&self, name: &str, bytes: u64) -> Result<()> {
        Ok(File::create(self.files.join(name))?.set_len(bytes)?)
    }
}

/// Two proxies one behind the other, with kept connections between all, in one nginx each.
pub(super) struct Chain {
    /// Where each of the targets is reached through both.
    pub(super) ports: [u16; 2],
    pub(super) processes: Vec<Process>,
}

impl Chain {
    pub(super) fn start(folder: &Folder, targets: [u16; 2]) -> Result<Self> {
        let mut chain = Chain { ports: targets, processes: Vec::new() };
        for name in ["inner", "outer"] {
            let ports = free_ports::<2>()?;
            let mut servers = String::new();
            for (port, target) in ports.iter().zip(chain.ports) {
                servers.push_str(&proxy(*port, target));
            }
            chain.processes.push(start(&folder.folder(name)?, &servers, ports[1])?);
            chain.ports = ports;
        }
        Ok(chain)
    }
}

/// A proxy as somebody would configure it who wants it fast: nothing is held on disk, connections are kept.
fn proxy(port: u16, target: u16) -> String {
    format!(
        "upstream at{target} {{ server 127.0.0.1:{target}; keepalive 128; keepalive_requests 1000000000; }}
server {{
    listen 127.0.0.1:{port} backlog=4096;
    location / {{
        proxy_pass http://at{target};
        proxy_http_version 1.1;
        proxy_set_header Connection \"\";
        proxy_set_header Host $host;
        proxy_request_buffering off;
        proxy_max_temp_file_size 0;
    }}
}}
"
    )
}

fn start(folder: &Path, servers: &str, port: u16) -> Result<Process> {
    let nginx = find("nginx").context("nginx: is it installed?")?;
    let at = folder.display();
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|name| format!("    {name}_temp_path {at}/{name};\n"))
        .concat();
    let config = format!(
        "daemon off;
worker_processes auto;
worker_rlimit_nofile 16384;
pid {at}/pid;
error_log {at}/error.log;
events {{ worker_connections 8192; }}
http {{
    access_log off;
    default_type application/octet-stream;
    keepalive_timeout 600;
    keepalive_requests 1000000000;
    client_max_body_size 0;
{temporary}{servers}}}
"
    );
    let file = folder.join("nginx.conf");
    fs::write(&file, config).with_context(|| format!("{}", file.display()))?;
    let mut command = Command::new(nginx);
    command.arg("-p").arg(folder).arg("-e").arg(folder.join("error.log")).arg("-c").arg(&file);
    let process = Process::start(&mut command)?;
    let deadline = Instant::now() + PATIENCE;
    while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
        if Instant::now() > deadline {
            let why = fs::read_to_string(folder.join("error.log")).unwrap_or_default();
            bail!("nginx does not listen: {why}");
        }
        thread::sleep(GLANCE);
    }
    Ok(process)
}
