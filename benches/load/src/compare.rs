//! Two builds of the binary beside the pass-through, for whoever makes a change: the smallest case, in
//! a minute or two.

use crate::measure::{cost_of_delivery, median};
use crate::subject::{Subject, VARIANTS};
use std::path::Path;

/// Prints what a delivery of 1 KiB costs with each of these binaries, and with the pass-through.
pub fn run(binaries: &[&str], rounds: usize) {
    let directory = tempfile::tempdir().expect("a directory");
    let place = directory.path();
    let upstream = Subject::own("upstream", &["upstream"], place);
    let (port, address) = (upstream.address.port(), upstream.address.to_string());
    let mut subjects = vec![Subject::own("pass-through", &["pass-through", &address], place)];
    subjects.extend(binaries.iter().enumerate().map(|(index, binary)| {
        let place = place.join(index.to_string());
        Subject::hookward(VARIANTS[0], Path::new(binary), port, 0, &place)
    }));
    std::thread::sleep(std::time::Duration::from_secs(1));
    let mut costs = vec![Vec::new(); subjects.len()];
    for _ in 0..rounds {
        for (subject, costs) in subjects.iter().zip(&mut costs) {
            costs.push(cost_of_delivery(subject));
        }
    }
    for (index, measured) in costs.iter().enumerate() {
        let name = index.checked_sub(1).map_or("pass-through", |index| binaries[index]);
        let ratios = measured.iter().zip(&costs[0]).map(|(cost, other)| cost / other);
        let (cost, ratio) = (median(measured.iter().copied()), median(ratios));
        println!("{cost:6.1} µs, {ratio:.2} of the pass-through: {name}");
    }
}
