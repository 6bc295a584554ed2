//! SIGKILL at random moments under load.

use crate::support::{World, all, event, run};
use hookward_inbox::{EntryState, Filter, Tried, TryOutcome};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::time::Duration;

const FOLDER: &str = "HOOKWARD_INBOX_KILL_FOLDER";
const ROUND: &str = "HOOKWARD_INBOX_KILL_ROUND";

fn world() -> World {
    let mut world = World::new();
    world.segment_bytes = 100_000;
    // On a real disk, where flushes take their time.
    world.folder = tempfile::tempdir().unwrap();
    // What was being sent when the process was killed is due at once.
    world.policy.uncertain_hold = Duration::ZERO;
    world
}

fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    out.write_all(format!("\n{line}\n").as_bytes()).unwrap();
    out.flush().unwrap();
}

#[test]
#[ignore = "the process that is killed; the test below starts it"]
fn child() {
    let Ok(folder) = std::env::var(FOLDER) else { return };
    let round = std::env::var(ROUND).unwrap();
    let world = world();
    world.clock.pass(round.parse::<u64>().unwrap() * 100_000);
    let (inbox, _) = world.try_open_in(folder.as_ref()).unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_time()
        .build()
        .unwrap();
    for client in 0..64 {
        let (inbox, round) = (inbox.clone(), round.clone());
        runtime.spawn(async move {
            for n in 0.. {
                let id = format!("{round}-{client}-{n}");
                inbox.accept(event(&id, &["erp"])).await.unwrap();
                say(&format!("accepted {id}"));
            }
        });
    }
    // A receiver that takes some of it; the rest waits for a later process.
    runtime.block_on(async {
        for n in 0_u64.. {
            for mut attempt in inbox.take_due(|_| 20) {
                let id = attempt.read().unwrap().id;
                attempt.begin().await;
                say(&format!("sent {id}"));
                attempt.end(Tried::new(world.clock.now(), TryOutcome::Status(200))).await;
            }
            // Moves are killed too.
            if n.is_multiple_of(3) {
                let mut waiting = inbox.select(&Filter::in_state(EntryState::Ready));
                waiting.truncate(30);
                let to = if n.is_multiple_of(2) { "erp" } else { "crm" };
                inbox.move_to(waiting, to, "").await.unwrap();
            }
            // Sweeps are killed too.
            if n.is_multiple_of(5) {
                world.clock.pass(30_000);
                inbox.tidy().await;
            }
        }
    });
}

#[test]
fn what_was_acknowledged_survives_kills_at_any_moment() {
    // Two hundred take minutes where a flush is slow.
    let kills = std::env::var("HOOKWARD_INBOX_KILLS").map_or(15, |text| text.parse().unwrap());
    let world = world();
    let folder = world.folder.path();
    let mut accepted = BTreeSet::new();
    let mut sent: BTreeMap<String, u64> = BTreeMap::new();
    let mut random = fastrand::Rng::new();
    for round in 0..kills {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["kill::child", "--exact", "--ignored", "--nocapture", "--test-threads=1"])
            .env(FOLDER, folder)
            .env(ROUND, round.to_string())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let wanted = random.usize(1..3_000);
        let mut killed = false;
        for (n, line) in lines.enumerate() {
            let line = line.unwrap();
            match line.split_once(' ') {
                Some(("accepted", id)) => _ = accepted.insert(id.to_owned()),
                Some(("sent", id)) => *sent.entry(id.to_owned()).or_default() += 1,
                _ => {}
            }
            if n >= wanted && !killed {
                child.kill().unwrap();
                killed = true;
            }
        }
        child.wait().unwrap();
        assert!(killed, "round {round}: the child ended by itself");
    }
    world.clock.pass(1_000_000_000);
    let (inbox, _) = world.try_open_in(folder).unwrap();
    let listed = all(&inbox);
    let left: BTreeSet<String> = listed.iter().map(|listed| listed.id.clone()).collect();
    assert_eq!(left.len(), listed.len(), "each is there once, at one destination");
    let missing: Vec<&String> =
        accepted.iter().filter(|id| !left.contains(*id) && !sent.contains_key(*id)).collect();
    assert!(missing.is_empty(), "{} of {} are lost: {missing:?}", missing.len(), accepted.len());
    assert!(accepted.len() > 1_000, "{} were accepted", accepted.len());
    assert!(sent.values().all(|times| *times <= kills));
    let again = sent.values().filter(|times| **times > 1).count() as u64;
    // Of each process at most the 20 that it was sending.
    assert!(again <= kills * 20, "{again} were sent more than once");
    run(inbox.tidy());
}
