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
    let file = stage.file.clone().into_os_string();
    std::thread::spawn(move || {
        hookward::cli::main(["hookward".into(), "run".into(), "--config".into(), file])
    });
    stage.wait();
    let mut sender = Sender::to(stage.address);
    sender.send(&fresh(REQUESTS), b"200");
    let mut each = |kind, requests: &[Vec<u8>], status: &[u8]| {
        let region = Region::new(ALLOCATOR);
        sender.send(requests, status);
        let change = region.change();
        (kind, (change.allocations + change.reallocations) as f64 / requests.len() as f64)
    };
    let measured = [
        each("forged", &forged(REQUESTS), b"401"),
        each("repeated", &repeated(REQUESTS), b"200"),
        each("delivered", &fresh(REQUESTS), b"200"),
    ];
    compare("allocations", &measured, 0.03);
}
