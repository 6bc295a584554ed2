//! Allocations of a request, by a counting allocator: a whole proxy runs in this process, and
//! neither the sender nor the receiver of this test allocates while it counts.

use crate::record::compare;
use crate::requests::{Sender, forged, fresh, repeated};
use crate::stage::Stage;
use crate::{ALLOCATOR, alone};
use stats_alloc::Region;

const REQUESTS: usize = 300;

#[test]
fn allocations_of_a_request_have_not_risen() {
    alone("allocations::counted_alone");
}

#[test]
#[ignore = "run by the test above, in a process of its own"]
fn counted_alone() {
    let stage = Stage::set("error");
    stage.start_here();
    let mut sender = Sender::to(stage.address);
    sender.send(&fresh(REQUESTS), b"200");
    let mut each = |kind, requests: &[Vec<u8>], status: &[u8]| {
        (kind, allocations_of_each(&mut sender, requests, status))
    };
    let measured = [
        each("forged", &forged(REQUESTS), b"401"),
        each("repeated", &repeated(REQUESTS), b"200"),
        each("delivered", &fresh(REQUESTS), b"200"),
    ];
    compare("allocations", &measured, 0.03);
}

/// What all of the process allocates while these are sent, by their number.
pub fn allocations_of_each(sender: &mut Sender, requests: &[Vec<u8>], status: &[u8]) -> f64 {
    let region = Region::new(ALLOCATOR);
    sender.send(requests, status);
    let change = region.change();
    (change.allocations + change.reallocations) as f64 / requests.len() as f64
}
