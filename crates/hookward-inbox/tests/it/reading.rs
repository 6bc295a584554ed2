//! Events that are read without waiting for the disk.

use crate::support::{World, accept, end, event, take};
use hookward_inbox::Accept;
use rustix::io::ReadWriteFlags;
use std::fs::File;
use std::io::IoSliceMut;
use std::path::Path;

/// Whether the file system says what a read would wait for; not all do.
fn tells_what_is_in_memory(folder: &Path) -> bool {
    let path = folder.join("probe");
    std::fs::write(&path, "probe").unwrap();
    let (file, mut byte) = (File::open(path).unwrap(), [0]);
    let into = &mut [IoSliceMut::new(&mut byte)];
    rustix::io::preadv2(file, into, 0, ReadWriteFlags::NOWAIT).is_ok()
}

#[test]
fn an_event_in_memory_is_read_at_hand_and_a_large_or_missing_one_is_not() {
    let world = World::new();
    let inbox = world.open();
    let large = Accept { body: vec![b'x'; 65 << 10].into(), ..event("large", &["erp"]) };
    accept(&inbox, event("small", &["erp"]));
    accept(&inbox, large);
    let knows = tells_what_is_in_memory(world.folder.path());
    let mut taken = take(&inbox);
    for (attempt, is_small) in taken.iter_mut().zip([true, false]) {
        let at_hand = attempt.read_at_hand();
        assert_eq!(at_hand.is_some(), is_small && knows);
        let read = attempt.read().unwrap();
        assert!(at_hand.is_none_or(|at_hand| {
            (at_hand.id, at_hand.head, at_hand.body, at_hand.sent)
                == (read.id, read.head, read.body, read.sent)
        }));
    }
    end(taken.remove(0), world.failed(500));
    drop(taken);
    world.clock.pass(3_600_000);
    // What is known of it is in a record of its own now, apart from its body.
    let mut again = take(&inbox).into_iter().find(|attempt| attempt.seq() == 1).unwrap();
    let at_hand = again.read_at_hand();
    assert_eq!(at_hand.is_some(), knows);
    assert!(at_hand.is_none_or(|read| (read.sent, &read.body[..]) == (1, &b"body of small"[..])));
    for path in world.segments() {
        File::options().write(true).open(path).unwrap().set_len(0).unwrap();
    }
    assert!(again.read_at_hand().is_none());
    assert!(again.read().is_err(), "it was left for this to say");
}
