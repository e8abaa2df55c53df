//! Visitors: wrk for many small requests, curl for large bodies.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, ensure};

/// Where visitors of a path knock: a port of this machine, and the host name they ask for there.
#[derive(Clone, Debug)]
pub(super) struct Door {
    pub(super) port: u16,
    /// `None` is the machine itself.
    pub(super) host: Option<String>,
    /// Whether visitors speak TLS.
    pub(super) has_tls: bool,
}

impl Door {
    /// The door of a path that does not look at host names.
    pub(super) fn plain(port: u16) -> Self {
        Door { port, host: None, has_tls: false }
    }

    /// The same, where visitors speak TLS.
    pub(super) fn with_tls(self) -> Self {
        Door { has_tls: true, ..self }
    }

    fn url(&self, file: &str) -> String {
        let scheme = if self.has_tls { "https" } else { "http" };
        format!("{scheme}://127.0.0.1:{}/{file}", self.port)
    }

    fn fields(&self) -> Vec<String> {
        self.host.iter().flat_map(|host| ["-H".to_owned(), format!("Host: {host}")]).collect()
    }
}

/// What one run of wrk found.
#[derive(Clone, PartialEq, Debug, Default)]
pub(super) struct Wrk {
    /// Answered requests per second.
    pub(super) requests: f64,
    /// Median latency, seconds.
    pub(super) p50: f64,
    /// The latency that one of a hundred exceeds, seconds.
    pub(super) p99: f64,
    /// Requests that failed, or were answered with anything but 2xx and 3xx.
    pub(super) failures: u64,
}

/// Asks for `file` for this long, on so many connections; each carries one request if they are `fresh`.
pub(super) fn wrk(door: &Door, file: &str, connections: u32, fresh: bool, seconds: u32) -> Result<Wrk> {
    let threads = connections.min(2);
    let mut command = Command::new("wrk");
    command.arg(format!("-t{threads}")).arg(format!("-c{connections}")).arg(format!("-d{seconds}s"));
    command.arg("--latency").args(door.fields());
    if fresh {
        command.args(["-H", "Connection: close"]);
    }
    let output = command.arg(door.url(file)).output().context("wrk: is it installed?")?;
    ensure!(output.status.success(), "wrk: {}", String::from_utf8_lossy(&output.stderr));
    read(&String::from_utf8_lossy(&output.stdout))
}

fn read(report: &str) -> Result<Wrk> {
    let after = |word: &str| report.lines().find_map(|line| line.trim().strip_prefix(word).map(str::trim));
    let latency = |word: &str| after(word).and_then(duration);
    let requests = after("Requests/sec:").and_then(|text| text.parse().ok());
    let socket: u64 = after("Socket errors:").map_or(0, |text| {
        text.split(|c: char| !c.is_ascii_digit()).filter_map(|digits| digits.parse::<u64>().ok()).sum()
    });
    let other = after("Non-2xx or 3xx responses:").and_then(|text| text.parse::<u64>().ok()).unwrap_or(0);
    Ok(Wrk {
        requests: requests.with_context(|| format!("wrk says no requests/sec:\n{report}"))?,
        p50: latency("50%").with_context(|| format!("wrk says no median:\n{report}"))?,
        p99: latency("99%").with_context(|| format!("wrk says no 99th percentile:\n{report}"))?,
        failures: socket + other,
    })
}

/// `123.45us`, `1.23ms`, `1.23s` or `1.23m`, in seconds.
fn duration(text: &str) -> Option<f64> {
    let digits = text.find(|c: char| c.is_ascii_alphabetic())?;
    let number: f64 = text[..digits].parse().ok()?;
    let unit = match &text[digits..] {
        "us" => 1e-6,
        "ms" => 1e-3,
        "s" => 1.0,
        "m" => 60.0,
        _ => return None,
    };
    Some(number * unit)
}

/// Fetches the first `bytes` of the large file `many` times at once; bytes per second, all together.
pub(super) fn download(door: &Door, bytes: u64, many: usize) -> Result<f64> {
    let range = format!("0-{}", bytes - 1);
    let begun = Instant::now();
    let curls: Vec<Child> = (0..many)
        .map(|_| {
            let mut command = curl(door);
            command.args(["-r", &range]).arg(door.url("large"));
            command.spawn().context("curl: is it installed?")
        })
        .collect::<Result<_>>()?;
    for curl in curls {
        let (code, down, _) = ended(curl)?;
        ensure!(code == 206 && down == bytes, "{code} with {down} bytes instead of 206 with {bytes}");
    }
    Ok((bytes * many as u64) as f64 / begun.elapsed().as_secs_f64())
}

/// Sends the whole of `file` to the sink; bytes per second.
pub(super) fn upload(door: &Door, file: &Path) -> Result<f64> {
    let bytes = file.metadata()?.len();
    let begun = Instant::now();
    let mut command = curl(door);
    // The sink does not answer 100, and curl would wait for it.
    command.args(["-H", "Expect:", "-T"]).arg(file).arg(door.url("upload"));
    let (code, _, up) = ended(command.spawn().context("curl: is it installed?")?)?;
    let took = begun.elapsed().as_secs_f64();
    ensure!(code == 204 && up == bytes, "{code} after {up} bytes instead of 204 after {bytes}");
    Ok(bytes as f64 / took)
}

/// Whether the small file comes whole.
pub(super) fn reachable(door: &Door) -> bool {
    let mut command = curl(door);
    command.args(["--max-time", "5"]).arg(door.url("small"));
    command.spawn().is_ok_and(|child| ended(child).is_ok_and(|(code, ..)| code == 200))
}

fn curl(door: &Door) -> Command {
    let mut command = Command::new("curl");
    command.args(["-s", "-o", "/dev/null", "-w", "%{http_code} %{size_download} %{size_upload}"]);
    command.args(["--http1.1", "-k", "--noproxy", "*"]).args(door.fields()).stdout(Stdio::piped());
    command
}

/// Status code, bytes down and bytes up of a curl that has ended.
fn ended(curl: Child) -> Result<(u16, u64, u64)> {
    let output = curl.wait_with_output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let mut words = text.split_whitespace();
    let mut word = || words.next().with_context(|| format!("curl said {text:?}: {}", output.status));
    let (code, down, up) = (word()?.parse()?, word()?.parse()?, word()?.parse()?);
    ensure!(output.status.success(), "curl: {}", output.status);
    Ok((code, down, up))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_wrk_reports_is_read() {
        let report = "Running 1s test @ http://127.0.0.1/\n  Latency Distribution\n     50%  125.00us\n     75%    1.00ms\n     \
            90%    2.00ms\n     99%   12.50ms\n  100 requests in 1.00s\n  Socket errors: connect 1, read 2, write 0, \
            timeout 3\n  Non-2xx or 3xx responses: 4\nRequests/sec:   1234.50\nTransfer/sec:  1.00MB\n";
        let found = read(report).expect("a whole report");
        assert_eq!((found.requests, found.failures), (1234.5, 10));
        assert!((found.p50 - 125e-6).abs() < 1e-12 && (found.p99 - 12.5e-3).abs() < 1e-12, "{found:?}");
        assert_eq!(duration("2.00m"), Some(120.0));
        assert!(read("nothing").is_err());
    }
}
