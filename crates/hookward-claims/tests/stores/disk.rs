//! Stress tests of a store on disk.

mod full;

use crate::again::{again, role};
use crate::world::{Ask, Ending, Expect, HOLD, Result, TTL, WITHIN, settle, word};
use hookward_claims::{Claims, DiskStore, Hold};
use hookward_time::{Clock, ManualClock, SystemClock, UnixMillis};
use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

const CAPACITY: u64 = 100;
const MOMENT: Duration = Duration::from_secs(100);

fn clock() -> Arc<ManualClock> {
    Arc::new(ManualClock::at(UnixMillis::from_seconds(1_773_656_430)))
}

fn open(path: &Path, clock: &Arc<ManualClock>) -> Arc<Claims<Result>> {
    let clock: Arc<dyn Clock> = Arc::clone(clock) as _;
    for _ in 0..200 {
        match DiskStore::open(path, CAPACITY, Arc::clone(&clock)) {
            Ok(store) => return Claims::new(Arc::new(store), clock),
            // A process that another test starts just now has all open files, locks among them,
            // until it becomes another program.
            Err(fault) if fault.problem.contains("is in use") => {
                std::thread::sleep(Duration::from_millis(10));
            }
            Err(fault) => panic!("{fault}"),
        }
    }
    panic!("in use for two seconds")
}

fn refusal(path: &Path) -> String {
    let store = DiskStore::open(path, CAPACITY, clock());
    store.err().expect("it was opened").to_string()
}

async fn deliver(claims: &Arc<Claims<Result>>, id: &str) {
    let claim = Ask::event(id).one(claims).await.won();
    claim.delivered(Arc::new(1)).await;
}

async fn state(claims: &Arc<Claims<Result>>, id: &str) -> &'static str {
    word(&Ask::event(id).look().one(claims).await)
}

#[tokio::test]
async fn a_restart_forgets_nothing_that_was_settled() {
    let (folder, clock) = (tempfile::tempdir().unwrap(), clock());
    let claims = open(folder.path(), &clock);
    let claim = Ask::event("delivered").body(5).signed("s").one(&claims).await.won();
    claim.delivered(Arc::new(1)).await;
    let since = clock.wall();
    for (id, ending) in [("uncertain", Ending::Uncertain), ("released", Ending::Released)] {
        let claim = Ask::event(id).one(&claims).await.won();
        settle(claim, ending, "", 1).await;
    }
    deliver(&claims, "forgotten").await;
    claims.forget(&"shop".into(), &"forgotten".into(), &["erp".into()], WITHIN).await.unwrap();
    let in_flight = Ask::event("in flight").one(&claims).await.won();
    drop((in_flight, claims));

    clock.advance(MOMENT);
    let claims = open(folder.path(), &clock);
    let hold = Ask::event("delivered").body(5).one(&claims).await;
    assert!(matches!(hold, Hold::Delivered { since: at, same_body: true } if at == since));
    assert_eq!(
        word(&Ask::event("another").signed("s").one(&claims).await),
        "delivered, another body"
    );
    match Ask::event("uncertain").one(&claims).await {
        Hold::Uncertain { left } => assert_eq!(left, HOLD.saturating_sub(MOMENT)),
        other => panic!("{}", word(&other)),
    }
    for id in ["released", "forgotten", "in flight"] {
        assert_eq!(state(&claims, id).await, "absent", "{id}");
    }
    // The ttl goes on where it was.
    clock.advance(TTL.saturating_sub(MOMENT));
    assert_eq!(state(&claims, "delivered").await, "delivered, another body");
    clock.advance(Duration::from_millis(1));
    assert_eq!(state(&claims, "delivered").await, "absent");
}

#[tokio::test]
async fn ids_beyond_the_memory_are_known_from_the_disk() {
    let (folder, clock) = (tempfile::tempdir().unwrap(), clock());
    let claims = open(folder.path(), &clock);
    for number in 0..CAPACITY * 10 {
        deliver(&claims, &number.to_string()).await;
    }
    for number in 0..CAPACITY * 10 {
        assert_eq!(state(&claims, &number.to_string()).await, "delivered", "{number}");
    }
    assert_eq!(claims.store().counters().evicted(), 0);
    assert_eq!(claims.store().entries(WITHIN).await.unwrap(), CAPACITY * 10);
}

#[tokio::test]
async fn expired_ids_leave_the_file() {
    let (folder, clock) = (tempfile::tempdir().unwrap(), clock());
    let claims = open(folder.path(), &clock);
    for number in 0..500 {
        deliver(&claims, &format!("early {number}")).await;
    }
    clock.advance(TTL / 2);
    // Delivered again later, so that its earlier end must not take it away.
    claims.forget(&"shop".into(), &"early 0".into(), &["erp".into()], WITHIN).await.unwrap();
    for id in ["early 0", "late"] {
        deliver(&claims, id).await;
    }
    clock.advance(TTL / 2 + MOMENT);
    let mut entries = u64::MAX;
    for _ in 0..100 {
        entries = claims.store().entries(WITHIN).await.unwrap();
        if entries == 2 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(entries, 2);
    drop(claims);
    let claims = open(folder.path(), &clock);
    for (id, expected) in [("early 0", "delivered"), ("late", "delivered"), ("early 1", "absent")] {
        assert_eq!(state(&claims, id).await, expected, "{id}");
    }
}

#[test]
fn a_folder_in_use_is_refused() {
    const TEST: &str = "disk::a_folder_in_use_is_refused";
    if let Some(path) = role() {
        print!("refusal: {}", refusal(Path::new(&path)));
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let store = DiskStore::open(folder.path(), CAPACITY, clock()).unwrap();
    let expected = format!(
        "the disk store at {} is in use by another process; give each its own folder, or share a \
         redis store",
        folder.path().display()
    );
    assert_eq!(refusal(folder.path()), expected, "to the same process");
    let other = again(TEST, folder.path().to_str().unwrap()).output().unwrap();
    let said = String::from_utf8(other.stdout).unwrap();
    assert!(said.contains(&format!("refusal: {expected}")), "{said}");
    drop(store);
    DiskStore::open(folder.path(), CAPACITY, clock()).unwrap();
}

#[test]
fn a_foreign_path_is_refused_and_left_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "mine").unwrap();
    assert!(refusal(&file).contains("is not a folder"), "{}", refusal(&file));
    assert_eq!(fs::read(&file).unwrap(), b"mine");
    assert!(refusal(folder.path()).contains("has no ids.redb, but file"));
    assert_eq!(fs::read(&file).unwrap(), b"mine");
}

#[tokio::test]
async fn a_damaged_file_is_refused_and_never_emptied() {
    let (original, clock) = (tempfile::tempdir().unwrap(), clock());
    let claims = open(original.path(), &clock);
    for number in 0..300 {
        deliver(&claims, &number.to_string()).await;
    }
    drop(claims);
    let whole = fs::read(original.path().join("ids.redb")).unwrap();
    let half = whole.len() / 2;
    let mut cases: Vec<(String, Vec<u8>)> = vec![
        ("emptied".to_owned(), Vec::new()),
        ("another file".to_owned(), b"some text of somebody else\n".repeat(1000)),
        ("zeros".to_owned(), vec![0; whole.len()]),
        ("cut in half".to_owned(), whole[..half].to_vec()),
        ("the last page lost".to_owned(), whole[..whole.len() - 4096].to_vec()),
        ("another redb".to_owned(), another_redb()),
    ];
    let known: BTreeSet<usize> = pages_in_use(&whole);
    for page in known {
        let mut torn = whole.clone();
        for byte in &mut torn[page * 4096 + 100..page * 4096 + 200] {
            *byte ^= 0xff;
        }
        cases.push((format!("page {page} torn"), torn));
    }
    let mut refused = 0;
    for (case, bytes) in cases {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("ids.redb"), &bytes).unwrap();
        match DiskStore::open(folder.path(), CAPACITY, Arc::clone(&clock) as _) {
            Err(refusal) => {
                refused += 1;
                let refusal = refusal.to_string();
                assert!(refusal.contains("is not opened, because ids.redb"), "{case}: {refusal}");
            }
            // Not every byte of a file counts; but what is opened knows all ids.
            Ok(store) => {
                assert!(case.starts_with("page"), "{case} was opened");
                let claims: Arc<Claims<Result>> =
                    Claims::new(Arc::new(store), Arc::clone(&clock) as _);
                for number in 0..300 {
                    assert_eq!(state(&claims, &number.to_string()).await, "delivered", "{case}");
                }
            }
        }
    }
    assert!(refused > 10, "{refused}");
}

#[tokio::test]
async fn a_damaged_journal_is_refused_and_a_torn_end_is_not() {
    let (folder, clock) = (tempfile::tempdir().unwrap(), clock());
    let claims = open(folder.path(), &clock);
    // As a kill leaves them: the copies are made before the store is closed.
    for number in 0..50 {
        deliver(&claims, &number.to_string()).await;
    }
    let copy = tempfile::tempdir().unwrap();
    for name in ["ids.redb", "journal.0", "journal.1"] {
        let _the_other_may_not_exist = fs::copy(folder.path().join(name), copy.path().join(name));
    }
    drop(claims);
    let journal = longest_journal(copy.path());
    let whole = fs::read(&journal).unwrap();
    assert!(whole.len() > 50 * 40, "the ids are in the journal");

    for at in [0, 10, 30, whole.len() / 2] {
        let file = fs::File::options().write(true).open(&journal).unwrap();
        file.write_all_at(&[whole[at] ^ 0xff], at as u64).unwrap();
        let refusal = refusal(copy.path());
        assert!(refusal.contains("is not opened, because journal."), "{refusal}");
        file.write_all_at(&[whole[at]], at as u64).unwrap();
    }
    // A power cut in the middle of the last record loses that one.
    fs::write(&journal, &whole[..whole.len() - 5]).unwrap();
    let claims = open(copy.path(), &clock);
    for number in 0..49 {
        assert_eq!(state(&claims, &number.to_string()).await, "delivered", "{number}");
    }
    assert_eq!(state(&claims, "49").await, "absent");
}

#[test]
fn fifty_kills_lose_no_id_whose_delivery_was_settled() {
    const TEST: &str = "disk::fifty_kills_lose_no_id_whose_delivery_was_settled";
    if let Some(role) = role() {
        deliver_until_killed(&role);
    }
    let folder = tempfile::tempdir().unwrap();
    let mut settled: Vec<u64> = Vec::new();
    for round in 0..50 {
        let first = settled.iter().max().map_or(0, |last| last + 1000);
        // It checks what it can of the last ids itself, before it goes on.
        let known: Vec<String> = settled.iter().rev().take(500).map(u64::to_string).collect();
        fs::write(folder.path().join("known"), known.join(" ")).unwrap();
        let role = format!("{first} {}", folder.path().display());
        let mut child =
            again(TEST, &role).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let began = settled.len();
        for line in lines.by_ref() {
            if let Some(id) = line.unwrap().strip_prefix("settled ") {
                settled.push(id.parse().unwrap());
                // Each round ends elsewhere: before, amid and after a commit.
                if settled.len() - began >= 20 + round * 37 % 700 {
                    child.kill().unwrap();
                    break;
                }
            }
        }
        child.kill().unwrap();
        // What was said before the kill was settled before it.
        settled.extend(lines.filter_map(|line| {
            line.ok()?.strip_prefix("settled ").and_then(|id| id.parse::<u64>().ok())
        }));
        let status = child.wait().unwrap();
        assert!(settled.len() > began, "round {round}: nothing was settled, {status}");
    }
    fs::remove_file(folder.path().join("known")).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let store = DiskStore::open(&folder.path().join("data"), CAPACITY, Arc::clone(&clock));
        let claims: Arc<Claims<Result>> = Claims::new(Arc::new(store.unwrap()), clock);
        for id in &settled {
            assert_eq!(state(&claims, &id.to_string()).await, "delivered", "{id}");
        }
    });
    assert!(settled.len() > 5000, "{}", settled.len());
}

/// The process that is killed: knows what earlier ones settled, and settles more on two threads.
fn deliver_until_killed(role: &str) -> ! {
    let (first, folder) = role.split_once(' ').unwrap();
    let folder = PathBuf::from(folder);
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let store = DiskStore::open(&folder.join("data"), CAPACITY, Arc::clone(&clock)).unwrap();
    let next = Arc::new(AtomicU64::new(first.parse().unwrap()));
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let claims: Arc<Claims<Result>> = Claims::new(Arc::new(store), clock);
        for id in fs::read_to_string(folder.join("known")).unwrap().split_whitespace() {
            if state(&claims, id).await != "delivered" {
                // Nothing will be settled, and the other process says so.
                std::process::exit(1);
            }
        }
        let other = tokio::spawn(settle_for_ever(Arc::clone(&claims), Arc::clone(&next)));
        settle_for_ever(claims, next).await;
        other.await.unwrap();
    });
    std::process::exit(1)
}

async fn settle_for_ever(claims: Arc<Claims<Result>>, next: Arc<AtomicU64>) {
    loop {
        let id = next.fetch_add(1, Ordering::SeqCst);
        deliver(&claims, &id.to_string()).await;
        // One write, so that a line is whole or not there.
        let line = format!("settled {id}\n");
        std::io::stdout().write_all(line.as_bytes()).unwrap();
    }
}

fn another_redb() -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("other.redb");
    drop(redb::Database::create(&path).unwrap());
    fs::read(path).unwrap()
}

/// Pages that are not all zeros.
fn pages_in_use(bytes: &[u8]) -> BTreeSet<usize> {
    let pages = bytes.chunks(4096).enumerate();
    pages.filter(|(_, page)| page.iter().any(|byte| *byte != 0)).map(|(at, _)| at).collect()
}

fn longest_journal(folder: &Path) -> PathBuf {
    let journals = ["journal.0", "journal.1"].map(|name| folder.join(name));
    let length = |path: &PathBuf| fs::metadata(path).map_or(0, |metadata| metadata.len());
    journals.into_iter().max_by_key(length).unwrap()
}
