//! A healthy `spill` route beside a `sync` one, both with the disk store: what a delivery costs more
//! because it might have to be stored.

use crate::allocations::allocations_of_each;
use crate::requests::{Sender, fresh_to};
use crate::stage::{Stage, has};
use crate::{alone, instructions};

const REQUESTS: usize = 300;

/// As many as are sent within a part of a second.
const A_FEW: usize = 50;

/// What the attempt shares with whoever stores the event: the request, and the claim.
const ALLOCATIONS_MORE: f64 = 3.0;

/// In those of a delivery on a `sync` route.
const INSTRUCTIONS_MORE: f64 = 0.03;

fn judge(counted: &str, sync: f64, spill: f64, more: f64) {
    println!("{counted}: sync {sync:.2}, spill {spill:.2}, ratio {:.3}", spill / sync);
    assert!(spill <= sync + more, "{counted}: {spill:.2} on a spill route, {sync:.2} on sync");
}

#[test]
fn allocations_of_a_healthy_spill_route_are_those_of_a_sync_one() {
    alone("spill::counted_alone");
}

#[test]
#[ignore = "run by the test above, in a process of its own"]
fn counted_alone() {
    let stage = Stage::with_inbox("error");
    stage.start_here();
    let mut sender = Sender::to(stage.address);
    let mut each = |path| allocations_of_each(&mut sender, &fresh_to(path, A_FEW), b"200");
    // What happens by itself beside them, such as a commit of the store each second, can only add. Rounds are
    // short, so that it misses some of them even on a busy machine: the least counts.
    let (mut sync, mut spill) = (f64::MAX, f64::MAX);
    for _ in 0..40 {
        (sync, spill) = (sync.min(each("/shop")), spill.min(each("/kept")));
    }
    judge("allocations", sync, spill, ALLOCATIONS_MORE);
}

#[test]
fn instructions_of_a_healthy_spill_route_are_those_of_a_sync_one() {
    if !has("valgrind") {
        return;
    }
    // As in `instructions`: another process can only add, so the least counts.
    let (mut sync, mut spill) = measure();
    for _ in 0..2 {
        if spill <= sync * (1.0 + INSTRUCTIONS_MORE) {
            break;
        }
        let again = measure();
        (sync, spill) = (sync.min(again.0), spill.min(again.1));
    }
    judge("instructions", sync, spill, sync * INSTRUCTIONS_MORE);
}

/// Instructions of a delivery on each of the two routes.
fn measure() -> (f64, f64) {
    let runs = [("/shop", 0), ("/shop", REQUESTS), ("/kept", REQUESTS)].map(|(path, count)| {
        std::thread::spawn(move || {
            let warm_up = ["/shop", "/kept"].map(|path| fresh_to(path, instructions::WARM_UP));
            let stage = Stage::with_inbox("error");
            instructions::total(&stage, &warm_up.concat(), &fresh_to(path, count), "200")
        })
    });
    let [nothing, sync, spill] = runs.map(|run| run.join().unwrap());
    let each = |total: f64| (total - nothing) / REQUESTS as f64;
    (each(sync), each(spill))
}
