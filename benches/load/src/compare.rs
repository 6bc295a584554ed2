//! Several builds of the binary beside the pass-through, for whoever makes a change: a few cases, in a
//! minute or two.

use crate::measure::{SIZES, cost_of_delivery, median, name_of};
use crate::subject::{Subject, VARIANTS};
use std::path::Path;

/// What is measured: a size of the body, and one of the variants.
const CASES: [(usize, usize); 3] = [(SIZES[0], 0), (SIZES[3], 0), (SIZES[0], 1)];

/// Prints what a delivery costs with each of these binaries, and with the pass-through.
pub fn run(binaries: &[&str], rounds: usize) {
    let directory = tempfile::tempdir().expect("a directory");
    let place = directory.path();
    let upstream = Subject::own("upstream", &["upstream"], place);
    let (port, address) = (upstream.address.port(), upstream.address.to_string());
    let pass_through = Subject::own("pass-through", &["pass-through", &address], place);
    let own: Vec<[Subject; 2]> = (0..)
        .zip(binaries)
        .map(|(index, binary)| {
            let place = place.join(index.to_string());
            [0, 1].map(|index| {
                Subject::hookward(VARIANTS[index], Path::new(binary), port, 0, &place)
            })
        })
        .collect();
    std::thread::sleep(std::time::Duration::from_secs(1));
    for (bytes, variant) in CASES {
        println!("{}, {}", name_of(bytes), VARIANTS[variant].key);
        let subjects: Vec<&Subject> =
            own.iter().map(|variants| &variants[variant]).chain([&pass_through]).collect();
        let mut costs = vec![Vec::new(); subjects.len()];
        for _ in 0..rounds {
            for (subject, costs) in subjects.iter().zip(&mut costs) {
                costs.push(cost_of_delivery(subject, bytes));
            }
        }
        let floor = costs.last().expect("the pass-through");
        for (index, measured) in costs.iter().enumerate() {
            let name = binaries.get(index).unwrap_or(&"pass-through");
            let ratio = |to: &[f64]| median(measured.iter().zip(to).map(|(cost, other)| cost / other));
            let (cost, to_floor, to_first) =
                (median(measured.iter().copied()), ratio(floor), ratio(&costs[0]));
            println!(
                "{cost:6.1} µs, {to_floor:.2} of the pass-through, {to_first:.3} of the first: {name}"
            );
        }
    }
}
