//! What is known between a delivery and its place in the id file.

use super::*;
use hookward_time::ManualClock;

const KEEP_UNTIL: UnixMillis = UnixMillis(i64::MAX);

fn key(number: u32) -> ClaimKey {
    ClaimKey::of(&"shop".into(), &number.to_string().into(), &"erp".into())
}

fn facts(number: u32) -> DeliveredId {
    DeliveredId { since: UnixMillis(number.into()), fingerprint: number.into() }
}

fn delivered(number: u32) -> JournalRecord {
    JournalRecord::Delivered { key: key(number), delivery: facts(number), until: KEEP_UNTIL }
}

fn alias(number: u32) -> ClaimKey {
    ClaimKey::of_alias(&"shop".into(), &number.to_string(), &"erp".into())
}

fn link(number: u32) -> JournalRecord {
    JournalRecord::Link { alias: alias(number), to: key(number), until: KEEP_UNTIL }
}

fn front(folder: &Path) -> Front {
    let clock = Arc::new(ManualClock::at(UnixMillis::from_seconds(1_773_656_430)));
    Front::open(folder, 1000, clock, Arc::default()).unwrap().0
}

fn assert_known(front: &Front, number: u32) {
    assert_eq!(front.delivered(key(number)).unwrap(), Some(facts(number)), "{number}");
    assert_eq!(front.link(alias(number)).unwrap(), Some(key(number)), "{number}");
}

#[test]
fn an_id_is_known_at_every_moment_of_commits_and_of_new_filters() {
    let folder = tempfile::tempdir().unwrap();
    let front = front(folder.path());
    std::thread::scope(|threads| {
        let delivering = threads.spawn(|| {
            for number in 0..3000 {
                front.write(delivered(number));
                front.write(link(number));
                for earlier in [0, number / 2, number.saturating_sub(100), number] {
                    assert_known(&front, earlier);
                }
            }
        });
        // An export commits as well as the thread that does so every second.
        threads.spawn(|| {
            for _ in 0..200 {
                front.commit();
                front.renew_filter();
            }
        });
        while !delivering.is_finished() {
            front.commit();
            front.renew_filter();
        }
    });
}

#[test]
fn a_new_key_is_not_looked_up_in_the_file_and_one_from_before_a_restart_is() {
    let folder = tempfile::tempdir().unwrap();
    {
        let front = front(folder.path());
        for number in 0..1000 {
            front.write(delivered(number));
            front.write(link(number));
        }
        front.close();
    }
    let front = front(folder.path());
    assert!((1000..2000).all(|number| !front.is_new(key(number))), "nothing is known of the file");
    front.renew_filter();
    for number in 0..1000 {
        assert_known(&front, number);
    }
    let new = (1000..2000).filter(|number| front.is_new(key(*number))).count();
    assert!(new > 980, "{new}");
    // A commit adds what it writes.
    front.write(delivered(2000));
    front.commit();
    assert_eq!(front.delivered(key(2000)).unwrap(), Some(facts(2000)));
}
