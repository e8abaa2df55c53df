//! What is remembered is there again after an end of any kind, and no file that is found is fatal.

use std::fs;
use std::path::{Path, PathBuf};

use hvym_tunnel_state::{
    AddedService, AlertRecord, MAX_ALERTS, MAX_REQUESTS, MAX_UPTIME_HOURS, Opened, Rollup, RollupLimit,
    StateDb, StateProblem, StoredRequest, UptimeHour,
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

/// An alert that is over, or not.
fn alert(id: i64, cleared_at: Option<i64>) -> AlertRecord {
    AlertRecord {
        id,
        kind: "latency".to_owned(),
        subject: "main".to_owned(),
        message: "in words".to_owned(),
        raised_at: NOW,
        cleared_at,
        acknowledged: false,
        escalated: false,
    }
}

fn request(path: &str) -> StoredRequest {
    StoredRequest { at: NOW, path: path.to_owned(), status: 200, ..StoredRequest::default() }
}

/// What is wanted of one link.
async fn wanted(db: &StateDb, link: &str) -> Option<bool> {
    let all = db.wanted().await.expect("links");
    all.into_iter().find(|(known, _)| known == link).map(|(_, running)| running)
}

#[test]
fn everything_is_there_after_a_restart() {
    smol::block_on(async {
        let folder = Folder::new("restart");
        let db = open_well(&folder.db()).await;
        assert_eq!(wanted(&db, "main").await, None);
        db.set_wanted("main", true, NOW).await.expect("kept");
        db.set_wanted("other", true, NOW).await.expect("kept");
        db.set_wanted("other", false, NOW + 1).await.expect("kept");
        db.set_last_endpoint("main", "web", "https://old.example", NOW).await.expect("kept");
        db.set_last_endpoint("main", "web", "https://new.example", NOW + 1).await.expect("kept");
        db.set_last_endpoint("main", "docs", "https://docs.example", NOW).await.expect("kept");
        let docs =
            AddedService { link: "main".to_owned(), name: "docs".to_owned(), definition: "{}".to_owned() };
        db.put_service(&docs).await.expect("kept");
        let over = AlertRecord { acknowledged: true, escalated: true, ..alert(7, Some(NOW + 5)) };
        db.put_alert(&alert(7, None)).await.expect("kept");
        db.put_alert(&over).await.expect("kept");
        db.add_requests(&[request("/a?token=secret"), request("/b")]).await.expect("kept");
        db.close().await.expect("closed");

        let db = open_well(&folder.db()).await;
        assert_eq!((wanted(&db, "main").await, wanted(&db, "other").await), (Some(true), Some(false)));
        let endpoints = db.last_endpoints().await.expect("endpoints");
        assert_eq!(endpoints.len(), 2);
        assert_eq!((endpoints[1].url.as_str(), endpoints[1].seen_at), ("https://new.example", NOW + 1));
        assert_eq!(db.alerts().await, Ok(vec![over]));
        assert_eq!(db.services().await, Ok(vec![docs]));
        let paths: Vec<_> = db.requests(10).await.expect("requests").into_iter().map(|r| r.path).collect();
        assert_eq!(paths, ["/b", "/a"]);
        db.forget_service("main", "docs").await.expect("forgotten");
        assert_eq!(db.services().await, Ok(Vec::new()));
        db.forget_endpoint("main", "docs").await.expect("forgotten");
        assert_eq!(db.last_endpoints().await.map(|known| known.len()), Ok(1));
        db.clear_last_endpoints().await.expect("cleared");
        db.forget_link("main").await.expect("forgotten");
        assert_eq!(db.last_endpoints().await, Ok(Vec::new()));
        assert_eq!(wanted(&db, "main").await, None);
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
        db.put_alert(&alert(7, None)).await.expect("kept");
        // What a killed process leaves: the files as they are at this moment.
        fs::create_dir_all(&copy.0).expect("a folder");
        for entry in fs::read_dir(&folder.0).expect("the folder") {
            let entry = entry.expect("a file");
            fs::copy(entry.path(), copy.0.join(entry.file_name())).expect("a copy");
        }
        let log = copy.0.join("state.db-wal");
        let whole = fs::read(&log).expect("the log");
        let found = open_well(&copy.db()).await;
        assert_eq!(wanted(&found, "main").await, Some(true));
        assert_eq!(found.alerts().await, Ok(vec![alert(7, None)]));
        drop(found);
        // A power cut: any part of the log is missing. What is there is a state that once was.
        let database = fs::read(folder.db()).expect("the database");
        for end in (0..whole.len()).step_by(1009) {
            fs::write(copy.db(), &database).expect("a copy");
            fs::write(&log, &whole[..end]).expect("a part");
            let _none = fs::remove_file(copy.0.join("state.db-shm"));
            let opened = open(&copy.db()).await;
            let (wanted, alerts) =
                (wanted(&opened.db, "main").await, opened.db.alerts().await.expect("alerts"));
            assert!(alerts.is_empty() || wanted == Some(true), "the alert came later: {end}");
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
            assert_eq!(wanted(&opened.db, "main").await, None);
            opened.db.set_wanted("main", true, NOW).await.expect("the new one works");
            opened.db.close().await.expect("closed");
            assert_eq!(wanted(&open_well(&folder.db()).await, "main").await, Some(true));
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
        assert_eq!(wanted(&opened.db, "main").await, Some(true));
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
        let ids =
            async || db.alerts().await.expect("alerts").iter().map(|alert| alert.id).collect::<Vec<_>>();
        db.put_alert(&alert(1, None)).await.expect("kept");
        db.put_alert(&alert(2, Some(NOW))).await.expect("kept");
        db.put_alert(&alert(MAX_ALERTS + 1, Some(NOW))).await.expect("kept");
        assert_eq!(ids().await, [1, 2, MAX_ALERTS + 1], "that of the limit is kept");
        db.put_alert(&alert(MAX_ALERTS + 2, Some(NOW))).await.expect("kept");
        assert_eq!(ids().await, [1, MAX_ALERTS + 1, MAX_ALERTS + 2], "one beyond it is not");
        db.forget_alerts().await.expect("forgotten");
        assert_eq!(ids().await, [1]);
    });
}

#[test]
fn hours_of_a_week_are_kept_and_take_the_place_of_what_was_known() {
    smol::block_on(async {
        let db = StateDb::in_memory().await.expect("a database");
        let this = NOW / HOUR;
        let hour = |subject: &str, hour, up_ms| UptimeHour {
            subject: subject.to_owned(),
            hour,
            up_ms,
            observed_ms: 1000,
        };
        let oldest = hour("a", this - MAX_UPTIME_HOURS + 1, 3);
        db.put_uptime(&[oldest.clone(), hour("a", this - MAX_UPTIME_HOURS, 3)], NOW).await.expect("kept");
        db.put_uptime(&[hour("b", this, 1), hour("a", this, 1)], NOW).await.expect("kept");
        db.put_uptime(&[hour("b", this, 2)], NOW).await.expect("kept");
        assert_eq!(db.uptime().await, Ok(vec![oldest, hour("a", this, 1), hour("b", this, 2)]));
    });
}

#[test]
fn intervals_take_the_place_of_what_was_known_and_are_forgotten_by_their_length() {
    smol::block_on(async {
        let db = StateDb::in_memory().await.expect("a database");
        let limits = [RollupLimit { seconds: 60, count: 2 }, RollupLimit { seconds: 900, count: 2 }];
        let rollup = |seconds: i64, ago: i64, requests| Rollup {
            seconds,
            at: NOW - ago * 1000,
            requests,
            failures: 1,
            bytes_in: 10,
            bytes_out: 20,
            latencies: vec![1, 2],
        };
        let all = [rollup(60, 119, 1), rollup(60, 120, 1), rollup(900, 1799, 1), rollup(900, 1800, 1)];
        db.put_rollups(&all, &limits, NOW).await.expect("kept");
        db.put_rollups(&[rollup(60, 0, 4)], &limits, NOW).await.expect("kept");
        db.put_rollups(&[rollup(60, 0, 5)], &limits, NOW).await.expect("kept");
        let expected = vec![rollup(60, 119, 1), rollup(60, 0, 5), rollup(900, 1799, 1)];
        assert_eq!(db.rollups().await, Ok(expected));
    });
}
