//! What is remembered is there again after an end of any kind, and no file that is found is fatal.

use std::fs;
use std::path::{Path, PathBuf};

use hvym_tunnel_state::{
    HourlyRollup, MAX_ALERTS, MAX_REQUESTS, MAX_ROLLUP_HOURS, MAX_UPTIME_DAYS, NewAlert, Opened, StateDb,
    StateProblem, StoredRequest,
};

const NOW: i64 = 1_800_000_000_000;
const HOUR: i64 = 3_600_000;

/// A folder that is gone when the test ends.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("hvym-tunnel-state-{name}-{}", std::process::id()));
        let _nothing_was_there = fs::remove_dir_all(&path);
        Self(path)
    }

    fn db(&self) -> PathBuf {
        self.0.join("state.db")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _gone = fs::remove_dir_all(&self.0);
    }
}

async fn open(path: &Path) -> Opened {
    StateDb::open(path, NOW).await.expect("a database, whatever is there")
}

async fn open_well(path: &Path) -> StateDb {
    let opened = open(path).await;
    assert_eq!(opened.problem, None);
    opened.db
}

fn alert(kind: &str) -> NewAlert {
    NewAlert { kind: kind.to_owned(), subject: "main".to_owned(), message: "in words".to_owned() }
}

fn request(path: &str) -> StoredRequest {
    StoredRequest { at: NOW, path: path.to_owned(), status: Some(200), ..StoredRequest::default() }
}

#[test]
fn everything_is_there_after_a_restart() {
    smol::block_on(async {
        let folder = Folder::new("restart");
        let db = open_well(&folder.db()).await;
        assert_eq!(db.wanted("main").await, Ok(None));
        db.set_wanted("main", true, NOW).await.expect("kept");
        db.set_wanted("other", true, NOW).await.expect("kept");
        db.set_wanted("other", false, NOW + 1).await.expect("kept");
        db.set_last_endpoint("main", "web", "https://old.example", NOW).await.expect("kept");
        db.set_last_endpoint("main", "web", "https://new.example", NOW + 1).await.expect("kept");
        let id = db.raise_alert(&alert("latency"), NOW).await.expect("kept");
        db.clear_alert(id, NOW + 5).await.expect("kept");
        db.clear_alert(id, NOW + 9).await.expect("it was over already");
        assert_eq!(db.acknowledge_alert(id, NOW + 7).await, Ok(true));
        assert_eq!(db.acknowledge_alert(id + 1, NOW + 7).await, Ok(false));
        db.add_requests(&[request("/a?token=secret"), request("/b")]).await.expect("kept");
        db.close().await.expect("closed");

        let db = open_well(&folder.db()).await;
        assert_eq!(db.wanted("main").await, Ok(Some(true)));
        assert_eq!(db.wanted("other").await, Ok(Some(false)));
        let endpoints = db.last_endpoints().await.expect("endpoints");
        assert_eq!(endpoints.len(), 1);
        assert_eq!((endpoints[0].url.as_str(), endpoints[0].seen_at), ("https://new.example", NOW + 1));
        let alerts = db.alerts(10).await.expect("alerts");
        assert_eq!((alerts[0].cleared_at, alerts[0].acknowledged_at), (Some(NOW + 5), Some(NOW + 7)));
        assert_eq!(alerts[0].alert, alert("latency"));
        let paths: Vec<_> = db.requests(10).await.expect("requests").into_iter().map(|r| r.path).collect();
        assert_eq!(paths, ["/b", "/a"]);
        db.clear_last_endpoints().await.expect("cleared");
        db.forget_link("main").await.expect("forgotten");
        assert_eq!(db.last_endpoints().await, Ok(Vec::new()));
        assert_eq!(db.wanted("main").await, Ok(None));
    });
}

#[cfg(unix)]
#[test]
fn nobody_else_can_read_the_files() {
    use std::os::unix::fs::PermissionsExt;

    smol::block_on(async {
        let folder = Folder::new("mode");
        let db = open_well(&folder.db()).await;
        db.set_wanted("main", true, NOW).await.expect("kept");
        let mut seen = 0;
        for entry in fs::read_dir(&folder.0).expect("the folder") {
            let entry = entry.expect("a file");
            let mode = entry.metadata().expect("a file").permissions().mode() & 0o777;
            assert_eq!(mode, 0o600, "{:?}", entry.file_name());
            seen += 1;
        }
        assert!(seen >= 2, "the database and its log");
    });
}

#[test]
fn what_was_committed_survives_a_process_that_is_killed() {
    smol::block_on(async {
        let (folder, copy) = (Folder::new("killed"), Folder::new("killed-copy"));
        let db = open_well(&folder.db()).await;
        db.set_wanted("main", true, NOW).await.expect("kept");
        let id = db.raise_alert(&alert("disconnected"), NOW).await.expect("kept");
        // What a killed process leaves: the files as they are at this moment.
        fs::create_dir_all(&copy.0).expect("a folder");
        for entry in fs::read_dir(&folder.0).expect("the folder") {
            let entry = entry.expect("a file");
            fs::copy(entry.path(), copy.0.join(entry.file_name())).expect("a copy");
        }
        let log = copy.0.join("state.db-wal");
        let whole = fs::read(&log).expect("the log");
        let found = open_well(&copy.db()).await;
        assert_eq!(found.wanted("main").await, Ok(Some(true)));
        assert_eq!(found.alerts(1).await.expect("alerts")[0].id, id);
        drop(found);
        // A power cut: any part of the log is missing. What is there is a state that once was.
        let database = fs::read(folder.db()).expect("the database");
        for end in (0..whole.len()).step_by(1009) {
            fs::write(copy.db(), &database).expect("a copy");
            fs::write(&log, &whole[..end]).expect("a part");
            let _none = fs::remove_file(copy.0.join("state.db-shm"));
            let opened = open(&copy.db()).await;
            let (wanted, alerts) =
                (opened.db.wanted("main").await, opened.db.alerts(1).await.expect("alerts"));
            assert!(alerts.is_empty() || wanted == Ok(Some(true)), "the alert came later: {end}");
            drop(opened);
        }
    });
}

#[test]
fn a_damaged_file_is_set_aside_and_a_new_one_begun() {
    smol::block_on(async {
        let folder = Folder::new("damaged");
        let db = open_well(&folder.db()).await;
        db.set_wanted("main", true, NOW).await.expect("kept");
        db.close().await.expect("closed");
        let good = fs::read(folder.db()).expect("the database");
        let mut flipped = good.clone();
        // The head of the first page, which names the tables.
        flipped[100..200].fill(0xff);
        let torn = &good[..good.len() / 2];
        for (index, bad) in
            [b"no database at all, but text".as_slice(), &flipped, torn].into_iter().enumerate()
        {
            fs::write(folder.db(), bad).expect("a damaged file");
            let opened = open(&folder.db()).await;
            let Some(StateProblem::SetAside { aside, .. }) = &opened.problem else {
                panic!("{index}: {:?}", opened.problem);
            };
            assert_eq!(fs::read(aside).expect("it was set aside"), bad, "{index}");
            assert_eq!(opened.db.wanted("main").await, Ok(None));
            opened.db.set_wanted("main", true, NOW).await.expect("the new one works");
            opened.db.close().await.expect("closed");
            assert_eq!(open_well(&folder.db()).await.wanted("main").await, Ok(Some(true)));
        }
        let aside = fs::read_dir(&folder.0).expect("the folder").filter(|entry| {
            let name = entry.as_ref().expect("a file").file_name().to_string_lossy().into_owned();
            name.contains("damaged") && !name.ends_with("-wal") && !name.ends_with("-shm")
        });
        assert_eq!(aside.count(), 3, "none takes the place of another");
    });
}

#[test]
fn the_database_of_a_newer_program_is_set_aside() {
    smol::block_on(async {
        let folder = Folder::new("newer");
        open_well(&folder.db()).await.close().await.expect("closed");
        let mut bytes = fs::read(folder.db()).expect("the database");
        // The field user_version of the file's header.
        bytes[60..64].copy_from_slice(&1000_u32.to_be_bytes());
        fs::write(folder.db(), &bytes).expect("a newer one");
        let opened = open(&folder.db()).await;
        let problem = opened.problem.expect("a problem").to_string();
        assert!(problem.contains("newer program (version 1000)"), "{problem}");
        opened.db.set_wanted("main", true, NOW).await.expect("the new one works");
    });
}

#[test]
fn without_a_place_for_a_file_everything_is_kept_in_memory() {
    smol::block_on(async {
        let folder = Folder::new("nowhere");
        fs::create_dir_all(folder.db()).expect("a folder in the place of the file");
        let opened = open(&folder.db()).await;
        assert!(matches!(opened.problem, Some(StateProblem::InMemory { .. })), "{:?}", opened.problem);
        opened.db.set_wanted("main", true, NOW).await.expect("kept");
        assert_eq!(opened.db.wanted("main").await, Ok(Some(true)));
    });
}

#[test]
fn the_last_requests_are_kept_and_no_more() {
    smol::block_on(async {
        let db = StateDb::in_memory().await.expect("a database");
        let many = |count: i64| -> Vec<_> { (0..count).map(|n| request(&format!("/{n}"))).collect() };
        let kept = async |db: &StateDb| db.requests(u32::MAX).await.expect("requests").len() as i64;
        db.add_requests(&[]).await.expect("nothing");
        db.add_requests(&many(MAX_REQUESTS - 1)).await.expect("kept");
        assert_eq!(kept(&db).await, MAX_REQUESTS - 1);
        db.add_requests(&many(1)).await.expect("kept");
        assert_eq!(kept(&db).await, MAX_REQUESTS);
        db.add_requests(&[request("/newest")]).await.expect("kept");
        assert_eq!(kept(&db).await, MAX_REQUESTS);
        let all = db.requests(u32::MAX).await.expect("requests");
        assert_eq!((all[0].path.as_str(), all[all.len() - 1].path.as_str()), ("/newest", "/1"));
    });
}

#[test]
fn old_alerts_are_forgotten_unless_they_are_not_over() {
    smol::block_on(async {
        let db = StateDb::in_memory().await.expect("a database");
        let lasting = db.raise_alert(&alert("lasting"), NOW).await.expect("kept");
        for _ in 0..=MAX_ALERTS {
            let id = db.raise_alert(&alert("short"), NOW).await.expect("kept");
            db.clear_alert(id, NOW).await.expect("kept");
        }
        let alerts = db.alerts(u32::MAX).await.expect("alerts");
        assert_eq!(alerts.len() as i64, MAX_ALERTS + 1);
        assert_eq!(alerts.last().map(|alert| alert.id), Some(lasting));
        db.forget_alerts().await.expect("forgotten");
        assert_eq!(db.alerts(u32::MAX).await.expect("alerts").len(), 1);
        let next = db.raise_alert(&alert("next"), NOW).await.expect("kept");
        assert_eq!(next, lasting + MAX_ALERTS + 2, "a number is used once");
    });
}

#[test]
fn uptime_counts_each_moment_once_and_within_the_bounds_asked_for() {
    smol::block_on(async {
        let db = StateDb::in_memory().await.expect("a database");
        let up = async |from: i64, to: i64| {
            let interval = db.begin_uptime("main", NOW + from).await.expect("kept");
            db.extend_uptime(interval, NOW + to).await.expect("kept");
            interval
        };
        let first = up(0, 100).await;
        db.extend_uptime(first, NOW + 50).await.expect("a clock that went back takes nothing away");
        up(200, 300).await;
        up(250, 400).await;
        let uptime = async |from: i64, to: i64| db.uptime("main", NOW + from, NOW + to).await.expect("a sum");
        assert_eq!(uptime(0, 1000).await, 300);
        assert_eq!(uptime(50, 250).await, 100);
        assert_eq!(uptime(100, 200).await, 0);
        assert_eq!(uptime(260, 270).await, 10);
        assert_eq!(db.uptime("other", NOW, NOW + 1000).await, Ok(0));
        let month = MAX_UPTIME_DAYS * 24 * HOUR;
        up(month + 100, month + 200).await;
        assert_eq!(uptime(0, 150).await, 100, "that of the limit is kept");
        up(month + 101, month + 200).await;
        assert_eq!(uptime(0, 150).await, 0, "one beyond it is not");
    });
}

#[test]
fn the_sums_of_an_hour_add_up() {
    smol::block_on(async {
        let db = StateDb::in_memory().await.expect("a database");
        let hour = NOW / HOUR;
        let rollup = |hour: i64, requests: i64, slowest: i64| HourlyRollup {
            hour,
            link: "main".to_owned(),
            service: "web".to_owned(),
            requests,
            failures: 1,
            bytes_in: 10,
            bytes_out: 20,
            latency_us: 5,
            max_latency_us: slowest,
        };
        db.add_rollups(&[rollup(hour, 3, 7), rollup(hour, 4, 2)], NOW).await.expect("kept");
        db.add_rollups(&[rollup(hour - MAX_ROLLUP_HOURS + 1, 1, 1)], NOW).await.expect("kept");
        db.add_rollups(&[rollup(hour - MAX_ROLLUP_HOURS, 1, 1)], NOW).await.expect("kept");
        let sums = db.rollups(0).await.expect("sums");
        assert_eq!(sums.len(), 2, "what is older than the limit is forgotten");
        let expected =
            HourlyRollup { failures: 2, bytes_in: 20, bytes_out: 40, latency_us: 10, ..rollup(hour, 7, 7) };
        assert_eq!(db.rollups(hour).await, Ok(vec![expected]));
    });
}
