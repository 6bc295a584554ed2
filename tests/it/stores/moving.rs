//! `hookward dedupe move`: what was delivered with the old store is a duplicate with the new one.

use super::{disk, shared};
use crate::support::{
    Event, PostgresServer, Proxy, Redis, Sender, Setup, Upstream, hookward, printed, stdout,
};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use tempfile::TempDir;

/// A folder with configurations that differ by their store, and an upstream that is asked.
struct Move {
    erp: Upstream,
    folder: TempDir,
}

impl Move {
    fn new() -> Self {
        Self { erp: Upstream::start(), folder: tempfile::tempdir().unwrap() }
    }

    fn setup(&self, store: &str) -> Setup {
        Setup::new()
            .dedupe(store)
            .upstream("erp", &self.erp, "")
            .shop_to(&["erp"], "replay_guard = \"signature\"")
    }

    fn file(&self, name: &str, store: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::write(&path, self.setup(store).toml()).unwrap();
        path
    }

    fn disk(&self, name: &str) -> String {
        disk(&self.folder.path().join(name))
    }

    fn moving(&self, old: &str, new: &str) -> Command {
        let (from, to) = (self.file("old.toml", old), self.file("new.toml", new));
        let mut command = hookward();
        command.args(["dedupe", "move", "--from"]).arg(from).arg("--to").arg(to);
        command
    }

    #[track_caller]
    fn moved(&self, old: &str, new: &str) -> Output {
        let output = self.moving(old, new).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", printed(&output));
        output
    }

    /// Delivers an event with one store, moves, and delivers it again with the other.
    fn is_a_duplicate_after(&self, old: &str, new: &str) {
        let delivery = Event::order("evt-1").signed();
        let before = self.erp.seen().len();
        {
            let proxy = self.setup(old).start();
            assert_eq!(Sender::to(&proxy).deliver(&delivery).outcome(), "delivered");
            stopped(proxy);
        }
        for (moved, known) in [(1, 0), (0, 1)] {
            let told = stdout(&self.moved(old, new));
            let line = format!("delivered ids: 1 found, {moved} moved, {known} known there\n");
            assert!(told.contains(&line), "{told}");
        }
        let proxy = self.setup(new).start();
        let sender = Sender::to(&proxy);
        assert_eq!(sender.deliver(&delivery).verdict(), (200, "duplicate", String::new()));
        assert_eq!(sender.deliver(&Event::order("evt-2").signed()).outcome(), "delivered");
        assert_eq!(self.erp.seen().len(), before + 2, "once each");
        stopped(proxy);
    }
}

fn stopped(mut proxy: Proxy) {
    proxy.signal("TERM");
    assert!(proxy.ends_within(std::time::Duration::from_secs(20)).success());
}

fn postgres(url: &str) -> String {
    format!("store = \"postgres\"\nurl = \"{url}\"")
}

#[test]
fn an_event_of_the_old_store_is_a_duplicate_with_the_new_one() {
    let redis = Redis::start();
    let database = PostgresServer::shared().database();
    let there = Move::new();
    there.is_a_duplicate_after(&there.disk("one"), &there.disk("two"));
    let there = Move::new();
    there.is_a_duplicate_after(&there.disk("one"), &shared(&redis.url()));
    let prefixed = format!("{}\nprefix = \"moved:\"", shared(&redis.url()));
    let there = Move::new();
    there.is_a_duplicate_after(&there.disk("one"), &postgres(&database));
    let there = Move::new();
    let old = format!("{}\nprefix = \"old:\"", shared(&redis.url()));
    there.is_a_duplicate_after(&old, &prefixed);
    let there = Move::new();
    let other = PostgresServer::shared().database();
    there.is_a_duplicate_after(&postgres(&other), &there.disk("two"));
}

#[test]
fn without_a_move_the_new_store_knows_nothing() {
    let there = Move::new();
    let delivery = Event::order("evt-1").signed();
    for (store, seen) in [(there.disk("one"), 1), (there.disk("two"), 2)] {
        let proxy = there.setup(&store).start();
        assert_eq!(Sender::to(&proxy).deliver(&delivery).outcome(), "delivered");
        there.erp.saw(seen);
        stopped(proxy);
    }
}

#[test]
fn a_move_refuses_a_folder_that_a_proxy_has_open_and_says_what_to_do() {
    let there = Move::new();
    let proxy = there.setup(&there.disk("one")).start();
    assert_eq!(Sender::to(&proxy).deliver(&Event::order("evt-1").signed()).status, 200);
    for (old, new) in [("one", "two"), ("two", "one")] {
        let output = there.moving(&there.disk(old), &there.disk(new)).output().unwrap();
        assert_eq!(output.status.code(), Some(3), "{}", printed(&output));
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(told.contains("Stop the proxy, run this command"), "{told}");
        assert!(told.contains(&there.folder.path().join("one").display().to_string()), "{told}");
    }
    assert!(!Path::new(&there.folder.path().join("two")).exists(), "nothing was made");
}

#[test]
fn what_cannot_be_moved_is_said_so() {
    let there = Move::new();
    let refused = |old: &str, new: &str| {
        let output = there.moving(old, new).output().unwrap();
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        (output.status.code(), told)
    };
    let (code, told) = refused("store = \"memory\"", &there.disk("two"));
    assert!(code == Some(2) && told.contains("old.toml: store = \"memory\" lives in"), "{told}");
    let (code, told) = refused(&there.disk("one"), "store = \"memory\"");
    assert!(code == Some(2) && told.contains("new.toml: store = \"memory\" lives in"), "{told}");
    let (code, told) = refused(&there.disk("one"), &there.disk("one"));
    assert!(code == Some(2) && told.contains("the same store"), "{told}");
    let nobody = shared("redis://:hunter2-hunter2@127.0.0.1:1/0");
    let (code, told) = refused(&there.disk("one"), &nobody);
    assert!(code == Some(3) && told.contains("127.0.0.1:1"), "{told}");
    assert!(told.contains("safe to run the command again"), "{told}");
    assert!(!told.contains("hunter2"), "{told}");
}
