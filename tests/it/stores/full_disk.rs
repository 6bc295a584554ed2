//! A full disk: deliveries continue, with ids in memory.

use super::on_disk;
use crate::support::{Event, Proxy, Sender, Upstream, eventually, get};
use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

const ERRORS: (&str, &[(&str, &str)]) =
    ("hookward_dedupe_store_errors_total", &[("store", "disk")]);

/// A folder on a disk that can be filled up.
struct Disk {
    folder: tempfile::TempDir,
    /// Whether it is a small disk of its own; otherwise a limit on file sizes simulates it.
    mounted: bool,
}

impl Disk {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mount = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=8m", "tmpfs"])
            .arg(folder.path())
            .stderr(Stdio::null())
            .status();
        Self { mounted: mount.is_ok_and(|status| status.success()), folder }
    }

    fn store(&self) -> &Path {
        self.folder.path()
    }

    fn ballast(&self) -> std::path::PathBuf {
        self.folder.path().join("lost+found")
    }

    fn fill(&self, proxy: &Proxy) {
        if !self.mounted {
            return limit_files(proxy, "1024:");
        }
        let mut ballast = File::create(self.ballast()).unwrap();
        while ballast.write_all(&[1; 4096]).is_ok() {}
    }

    fn free(&self, proxy: &Proxy) {
        if !self.mounted {
            return limit_files(proxy, "unlimited:");
        }
        fs::remove_file(self.ballast()).unwrap();
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        if self.mounted {
            _ = Command::new("umount").arg("-l").arg(self.folder.path()).status();
        }
    }
}

/// Sets the soft limit on the size of the files that a process writes.
fn limit_files(proxy: &Proxy, limit: &str) {
    let limited = Command::new("prlimit")
        .args(["--pid", &proxy.pid().to_string(), &format!("--fsize={limit}")])
        .status();
    assert!(limited.unwrap().success(), "neither a mount nor a limit can stand in for a full disk");
}

/// Nothing is delivered that could find out: readiness tries it.
#[test]
fn a_disk_that_cannot_be_written_is_told_of_before_an_event_comes() {
    let disk = Disk::new();
    let erp = Upstream::start();
    let proxy = on_disk(&erp, disk.store()).start();
    let ready = get(proxy.admin, "/readyz");
    assert!(ready.status == 200 && !ready.text().contains("cannot be written"), "{ready:?}");
    disk.fill(&proxy);
    eventually("it is told", || {
        let ready = get(proxy.admin, "/readyz");
        ready.status == 200 && ready.text().contains("cannot be written")
    });
    disk.free(&proxy);
    eventually("it is well", || !get(proxy.admin, "/readyz").text().contains("cannot be written"));
    assert_eq!(proxy.metric("hookward_dedupe_entries", &[("store", "disk")]), 0);
}

#[test]
fn a_full_disk_stops_no_delivery_is_told_and_is_made_good_once_there_is_room() {
    let disk = Disk::new();
    let erp = Upstream::start();
    // A limit on files is met by an error then, as a full disk is, not by a signal.
    let setup = on_disk(&erp, disk.store()).limits("trap '' XFSZ");
    let mut proxy = setup.start();
    let sender = Sender::to(&proxy);
    let mut ids = Vec::new();
    let mut deliver_another = || {
        let id = format!("evt-{}", ids.len());
        let response = sender.deliver(&Event::order(&id).signed());
        assert_eq!(response.verdict(), (200, "delivered", String::new()), "{id}");
        ids.push(id);
    };
    deliver_another();
    assert_eq!(proxy.metric(ERRORS.0, ERRORS.1), 0);
    assert!(!get(proxy.admin, "/readyz").text().contains("cannot be written"));

    disk.fill(&proxy);
    eventually("the full disk is noticed", || {
        deliver_another();
        proxy.metric(ERRORS.0, ERRORS.1) > 0
    });
    for _ in 0..50 {
        deliver_another();
    }
    let ready = get(proxy.admin, "/readyz");
    assert_eq!(ready.status, 200, "{ready:?}");
    assert!(ready.text().contains("cannot be written"), "{ready:?}");
    let status = get(proxy.admin, "/status").text();
    assert!(status.contains("cannot be written"), "{status}");
    let all_are_duplicates = |sender: &Sender| {
        for id in &ids {
            assert_eq!(sender.deliver(&Event::order(id).signed()).outcome(), "duplicate", "{id}");
        }
    };
    all_are_duplicates(&sender);

    disk.free(&proxy);
    eventually("it recovers", || {
        let ready = get(proxy.admin, "/readyz");
        assert_eq!(ready.status, 200);
        !ready.text().contains("cannot be written")
    });
    all_are_duplicates(&sender);
    // What was kept in memory is on the disk now.
    proxy.crash();
    let proxy = setup.start();
    all_are_duplicates(&Sender::to(&proxy));
    erp.saw(ids.len());
}
