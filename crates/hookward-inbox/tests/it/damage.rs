//! Files that were changed by a power cut, a disk or a person.

use crate::support::{World, accept, all, deliver_due, end, event, run, take};
use hookward_inbox::{OpenError, WaitingCount, waiting_in};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// A log of some events, and how long it was when each was acknowledged.
fn written(world: &World) -> (PathBuf, Vec<u8>, Vec<usize>) {
    let inbox = world.open();
    let file = world.segments().pop().unwrap();
    let mut ends = Vec::new();
    for n in 0..6 {
        accept(&inbox, event(&format!("e{n}"), &["erp"]));
        ends.push(usize::try_from(file.metadata().unwrap().len()).unwrap());
    }
    inbox.close();
    let bytes = std::fs::read(&file).unwrap();
    (file, bytes, ends)
}

fn files(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.map(|path| (path.clone(), std::fs::read(path).unwrap())).collect()
}

#[test]
fn the_newest_file_cut_at_any_byte_loses_only_what_was_cut() {
    let world = World::new();
    let (file, whole, ends) = written(&world);
    for length in 0..=whole.len() {
        std::fs::write(&file, &whole[..length]).unwrap();
        let (inbox, recovery) = world.try_open().unwrap();
        let expected = ends.iter().filter(|end| **end <= length).count();
        assert_eq!(recovery.entries, expected, "cut at {length}");
        let ids: Vec<String> = all(&inbox).into_iter().map(|listed| listed.id).collect();
        assert_eq!(ids, (0..expected).map(|n| format!("e{n}")).collect::<Vec<_>>());
        if let Some(torn) = recovery.torn {
            assert_eq!(torn.file, file);
            assert!(torn.bytes > 0 && usize::try_from(torn.offset).unwrap() < length);
        }
        drop(inbox);
        // What is left of the log goes on.
        let (inbox, again) = world.try_open().unwrap();
        assert_eq!((again.entries, again.torn), (expected, None), "cut at {length}");
        drop(inbox);
        for path in world.segments() {
            std::fs::remove_file(path).unwrap();
        }
    }
}

/// A person who wants to know what waits must not be the one who cuts the log.
#[test]
fn counting_what_waits_changes_nothing_even_in_a_torn_log() {
    let world = World::new();
    let count = || waiting_in(world.folder.path(), None, world.clock.now());
    assert_eq!(count().unwrap(), []);
    let inbox = world.open();
    assert!(matches!(count(), Err(OpenError::InUse(_))));
    drop(inbox);
    let (file, whole, _) = written(&world);
    let waiting = |events| WaitingCount { source: "shop".into(), to: "erp".into(), events };
    assert_eq!(count().unwrap(), [waiting(6)]);
    std::fs::write(&file, &whole[..whole.len() - 1]).unwrap();
    let before = files(world.folder.path());
    assert_eq!(count().unwrap(), [waiting(5)]);
    assert_eq!(files(world.folder.path()), before);
}

#[test]
fn sectors_that_never_reached_the_disk_are_a_torn_end() {
    let world = World::new();
    let (file, whole, ends) = written(&world);
    for length in (512..whole.len()).step_by(512) {
        let mut zeroed = whole[..length].to_vec();
        zeroed.resize(whole.len() + 512, 0);
        std::fs::write(&file, &zeroed).unwrap();
        let (inbox, recovery) = world.try_open().unwrap();
        let expected = ends.iter().filter(|end| **end <= length).count();
        assert_eq!(recovery.entries, expected, "zeros from {length}");
        assert!(recovery.torn.is_some());
        drop(inbox);
        for path in world.segments() {
            std::fs::remove_file(path).unwrap();
        }
    }
}

#[test]
fn zeros_over_what_was_durable_are_damage_and_no_torn_end() {
    let world = World::new();
    let (file, whole, _) = written(&world);
    // A later record says that the first sectors were durable.
    let mut changed = whole.clone();
    changed[512..1024].fill(0);
    std::fs::write(&file, &changed).unwrap();
    assert!(matches!(world.try_open().unwrap_err(), OpenError::Damaged { .. }));
}

#[test]
fn a_changed_byte_is_refused_with_its_place_and_nothing_is_touched() {
    let world = World::new();
    let (file, whole, _) = written(&world);
    // The file is the newest at first, then an older one.
    for is_newest in [true, false] {
        if !is_newest {
            std::fs::write(&file, &whole).unwrap();
            let inbox = world.open();
            accept(&inbox, event("later", &["erp"]));
        }
        for at in (0..whole.len()).step_by(3) {
            let mut changed = whole.clone();
            changed[at] ^= 1 << (at % 8);
            std::fs::write(&file, &changed).unwrap();
            let before = files(world.folder.path());
            match world.try_open().unwrap_err() {
                OpenError::Damaged { file: named, offset, .. } => {
                    assert_eq!(named, file);
                    assert!(usize::try_from(offset).unwrap() <= at, "byte {at}: {offset}");
                }
                OpenError::Format { file: named, .. } => {
                    assert_eq!(named, file);
                    assert!((8..12).contains(&at), "byte {at}");
                }
                other => panic!("byte {at}: {other}"),
            }
            assert!(before == files(world.folder.path()), "byte {at}: something was touched");
        }
    }
    std::fs::write(&file, &whole).unwrap();
    let (inbox, recovery) = world.try_open().unwrap();
    assert_eq!(recovery.entries, 7);
    assert_eq!(deliver_due(&inbox, world.clock.now()).len(), 7);
}

#[test]
fn the_end_of_an_older_file_is_missed() {
    let world = World::new();
    let (file, whole, _) = written(&world);
    drop(world.open());
    std::fs::write(&file, &whole[..whole.len() - 1]).unwrap();
    let refused = world.try_open().unwrap_err();
    assert!(refused.to_string().contains("its end is missing"), "{refused}");
}

#[test]
fn an_event_that_does_not_read_while_it_runs_is_set_aside_and_the_others_go_on() {
    let world = World::new();
    let inbox = world.open();
    accept(&inbox, event("e1", &["erp"]));
    accept(&inbox, event("e2", &["erp"]));
    let file = world.segments().pop().unwrap();
    let mut bytes = std::fs::read(&file).unwrap();
    let body = b"body of e1";
    let at = bytes.windows(body.len()).position(|window| window == body).unwrap();
    bytes[at] ^= 1;
    std::fs::write(&file, bytes).unwrap();
    let mut taken = take(&inbox);
    let refused = taken[0].read().unwrap_err();
    assert_eq!(refused.to_string(), "entry 1 cannot be read back: it is damaged");
    assert_eq!(taken[1].read().unwrap().id, "e2");
    end(taken.remove(1), world.failed(200));
    // The end waits for no flush, and that the other one is dead does.
    run(inbox.tidy());
    let erp = inbox.stats().destinations.into_iter().find(|stats| stats.to == "erp").unwrap();
    assert_eq!((erp.dead, erp.in_flight, erp.ready, erp.ends.delivered), (1, 0, 0, 1));
    world.clock.pass(3_600_000);
    assert!(take(&inbox).is_empty());
}
