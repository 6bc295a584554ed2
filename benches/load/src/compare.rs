//! Several builds of the binary beside the pass-through, for whoever makes a change: a few cases, in a
//! minute or two.

use crate::measure::{SIZES, cost_of_delivery, median, name_of};
use crate::subject::{Subject, VARIANTS};
use std::path::Path;

/// What is measured: a size of the body, and one of the variants. The first is what the disk store is
/// compared with.
const CASES: [(usize, usize); 4] =
    [(SIZES[0], 0), (SIZES[0], DISK), (SIZES[3], 0), (SIZES[0], INFO)];

const INFO: usize = 1;
const DISK: usize = 3;

/// Prints what a delivery costs with each of these binaries, and with the pass-through.
pub fn run(binaries: &[&str], rounds: usize) {
    let directory = tempfile::tempdir().expect("a directory");
    let place = directory.path();
    let upstream = Subject::own("upstream", &["upstream"], place);
    let (port, address) = (upstream.address.port(), upstream.address.to_string());
    let pass_through = Subject::own("pass-through", &["pass-through", &address], place);
    let own: Vec<[Subject; 4]> = (0..)
        .zip(binaries)
        .map(|(index, binary)| {
            let place = place.join(index.to_string());
            [0, 1, 2, 3]
                .map(|index| Subject::hookward(VARIANTS[index], Path::new(binary), port, 0, &place))
        })
        .collect();
    std::thread::sleep(std::time::Duration::from_secs(1));
    let subjects =
        |variant: usize| own.iter().map(move |variants| &variants[variant]).chain([&pass_through]);
    let mut costs = vec![vec![Vec::new(); binaries.len() + 1]; CASES.len()];
    for _ in 0..rounds {
        for ((bytes, variant), costs) in CASES.into_iter().zip(&mut costs) {
            for (subject, costs) in subjects(variant).zip(costs) {
                costs.push(cost_of_delivery(subject, bytes));
            }
        }
    }
    for ((bytes, variant), measured) in CASES.into_iter().zip(&costs) {
        println!("{}, {}", name_of(bytes), VARIANTS[variant].key);
        let floor = measured.last().expect("the pass-through");
        for (index, own) in measured.iter().enumerate() {
            let name = binaries.get(index).unwrap_or(&"pass-through");
            let ratio = |to: &[f64]| median(own.iter().zip(to).map(|(cost, other)| cost / other));
            let (cost, to_floor) = (median(own.iter().copied()), ratio(floor));
            let (to_first, to_memory) = (ratio(&measured[0]), ratio(&costs[0][index]));
            print!("{cost:6.1} µs, {to_floor:.2} of the pass-through, {to_first:.3} of the first");
            if variant != 0 {
                print!(", {to_memory:.3} of the same in memory and without lines");
            }
            println!(": {name}");
        }
    }
}
