//! A disk that is full, and then has room again.

use super::{clock, deliver, state};
use crate::again::{again, role};
use crate::world::{Result, WITHIN};
use hookward_claims::{Claims, DiskStore, Health};
use hookward_time::{Clock, ManualClock};
use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

#[test]
fn a_full_disk_degrades_to_memory_is_reported_and_recovers() {
    const TEST: &str = "disk::full::a_full_disk_degrades_to_memory_is_reported_and_recovers";
    if let Some(role) = role() {
        let (kind, folder) = role.split_once(' ').unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(fill_up(kind, Path::new(folder)));
        println!("went well");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_str().unwrap();
    let mounted = "mount -t tmpfs -o size=4m tmpfs \"$0\" && exec \"$@\"";
    let may_mount = |flags: &str| {
        let try_it =
            Command::new("unshare").args([flags, "sh", "-c", mounted, path, "true"]).output();
        try_it.is_ok_and(|output| output.status.success())
    };
    let (shell, kind) = if may_mount("-m") {
        (vec!["unshare", "-m", "sh", "-c", mounted, path], "tmpfs")
    } else if may_mount("-rm") {
        (vec!["unshare", "-rm", "sh", "-c", mounted, path], "tmpfs")
    } else {
        // Where nothing may be mounted, a limit on file sizes simulates a full disk.
        let limited = "trap '' XFSZ; ulimit -S -f 4096; exec \"$@\"";
        (vec!["sh", "-c", limited, path], "limit")
    };
    let test = again(TEST, &format!("{kind} {path}"));
    let mut command = Command::new(shell[0]);
    command.args(&shell[1..]).arg(test.get_program()).args(test.get_args());
    for (name, value) in test.get_envs() {
        command.env(name, value.unwrap());
    }
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let complained = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.contains("went well"), "{said}\n{complained}");
}

async fn fill_up(kind: &str, folder: &Path) {
    let clock = clock();
    let data = folder.join("data");
    let claims = open_with_room(&data, &clock);
    deliver(&claims, "before").await;
    health_becomes(&claims, |health| *health == Health::Good).await;
    let ballast = folder.join("ballast");
    if kind == "tmpfs" {
        tokio::time::sleep(Duration::from_secs(2)).await;
        let mut file = fs::File::create(&ballast).unwrap();
        let piece = [1; 4096];
        while file.write_all(&piece).is_ok() {}
    }
    // So many that neither the journal nor the file has room left for them.
    let mut sent = 0;
    while claims.health(WITHIN).await.unwrap() == Health::Good {
        assert!(sent < 200_000, "the disk took it all");
        for _ in 0..100 {
            deliver(&claims, &format!("amid {sent}")).await;
            sent += 1;
        }
        tokio::task::yield_now().await;
    }
    for _ in 0..500 {
        deliver(&claims, &format!("amid {sent}")).await;
        sent += 1;
    }
    match claims.health(WITHIN).await.unwrap() {
        Health::Degraded(why) => assert!(why.contains("kept in memory only"), "{why}"),
        Health::Good => panic!("the disk is full"),
    }
    assert!(claims.store().counters().errors() >= 1);
    // While commits go on failing, nothing is forgotten.
    tokio::time::sleep(Duration::from_millis(2500)).await;
    assert_eq!(state(&claims, "before").await, "delivered");
    for number in (0..sent).step_by(7) {
        assert_eq!(state(&claims, &format!("amid {number}")).await, "delivered", "{number}");
    }
    if kind == "tmpfs" {
        fs::remove_file(&ballast).unwrap();
    } else {
        let id = std::process::id().to_string();
        let raised = Command::new("prlimit").args(["--pid", &id, "--fsize=unlimited:"]).status();
        assert!(raised.unwrap().success());
    }
    health_becomes(&claims, |health| *health == Health::Good).await;
    deliver(&claims, "after").await;
    drop(claims);
    let claims = open_with_room(&data, &clock);
    for id in ["before", "after"] {
        assert_eq!(state(&claims, id).await, "delivered", "{id}");
    }
    for number in 0..sent {
        assert_eq!(state(&claims, &format!("amid {number}")).await, "delivered", "{number}");
    }
}

fn open_with_room(path: &Path, clock: &Arc<ManualClock>) -> Arc<Claims<Result>> {
    let clock: Arc<dyn Clock> = Arc::clone(clock) as _;
    let store = DiskStore::open(path, 1_000_000, Arc::clone(&clock)).unwrap();
    Claims::new(Arc::new(store), clock)
}

async fn health_becomes(claims: &Arc<Claims<Result>>, right: impl Fn(&Health) -> bool) {
    let mut health = claims.health(WITHIN).await.unwrap();
    for _ in 0..200 {
        if right(&health) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
        health = claims.health(WITHIN).await.unwrap();
    }
    panic!("after ten seconds: {health:?}")
}
