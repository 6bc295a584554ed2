//! A power cut: only the flushed part of each file remains.

use crate::support::{World, accept, all, end, event, folder, run, seq, take};
use hookward_inbox::{Disk, EntryState, Inbox, System};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::{Arc, Mutex};

/// Remembers how long each file was when it was flushed.
#[derive(Default)]
struct Flushed(Mutex<BTreeMap<u64, u64>>);

impl Disk for Flushed {
    fn append(&self, file: &File, bytes: &[u8]) -> io::Result<()> {
        System.append(file, bytes)
    }

    fn flush(&self, file: &File) -> io::Result<()> {
        let found = file.metadata()?;
        self.0.lock().unwrap().insert(found.ino(), found.len());
        Ok(())
    }

    fn free(&self, _: &Path) -> io::Result<u64> {
        Ok(u64::MAX)
    }
}

impl Flushed {
    /// What a power cut would leave of a folder.
    fn after_a_cut(&self, world: &World) -> tempfile::TempDir {
        let copy = folder();
        let flushed = self.0.lock().unwrap();
        for path in world.segments() {
            let number = path.metadata().unwrap().ino();
            let mut bytes = std::fs::read(&path).unwrap();
            let length = flushed.get(&number).copied().unwrap_or(0);
            bytes.truncate(usize::try_from(length).unwrap());
            std::fs::write(copy.path().join(path.file_name().unwrap()), bytes).unwrap();
        }
        copy
    }
}

fn ids(inbox: &Inbox) -> BTreeSet<String> {
    all(inbox).into_iter().map(|listed| listed.id).collect()
}

#[test]
fn what_was_acknowledged_was_flushed_before() {
    for seed in 0..3 {
        steps(seed);
    }
}

fn steps(seed: u64) {
    let mut random = fastrand::Rng::with_seed(seed);
    let disk = Arc::new(Flushed::default());
    let mut world = World::new();
    world.segment_bytes = 3_000;
    world.disk = Some(Arc::clone(&disk) as Arc<dyn Disk>);
    let inbox = world.open();
    let mut waiting = BTreeSet::new();
    let mut dead = BTreeSet::new();
    // A delivery is not flushed at once: such an event may come back.
    let mut delivered = BTreeSet::new();
    let mut is_paused = false;
    for n in 0..60 {
        let id = format!("e{n}");
        match random.u8(..8) {
            0..=3 => {
                accept(&inbox, event(&id, &["erp"]));
                waiting.insert(id);
            }
            4 => {
                for mut attempt in inbox.take_due(|_| 3) {
                    let id = attempt.read().unwrap().id;
                    waiting.remove(&id);
                    if random.bool() {
                        end(attempt, world.failed(200));
                        delivered.insert(id);
                    } else {
                        end(attempt, world.failed(410));
                        dead.insert(id);
                    }
                }
            }
            5 => {
                is_paused = random.bool();
                if is_paused {
                    run(inbox.pause("erp", None)).unwrap();
                } else {
                    run(inbox.resume("erp")).unwrap();
                }
            }
            6 => {
                let erased = seq(&accept(&inbox, event(&id, &["erp"])));
                run(inbox.erase("shop", &id)).unwrap();
                assert!(inbox.show(erased).is_none());
            }
            _ => {
                world.clock.pass(25_000);
                run(inbox.tidy());
            }
        }
        let what = format!("seed {seed}, step {n}");
        let copy = disk.after_a_cut(&world);
        let (other, _) = world.try_open_in(copy.path()).unwrap();
        let found = ids(&other);
        let kept: BTreeSet<String> = waiting.union(&dead).cloned().collect();
        assert!(found.is_superset(&kept), "{what}: {found:?} instead of {kept:?}");
        let extra: Vec<&String> = found.difference(&kept).collect();
        assert!(extra.iter().all(|id| delivered.contains(*id)), "{what}: {extra:?}");
        for id in &dead {
            assert_eq!(other.state("shop", id, "erp"), Some(EntryState::Dead), "{what}");
        }
        assert_eq!(other.is_paused("erp"), is_paused, "{what}");
    }
    assert!(take(&inbox).len() <= waiting.len());
}
