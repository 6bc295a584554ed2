//! Presets are embedded by a macro that cargo cannot see through: a new file has to rebuild them.

fn main() {
    println!("cargo::rerun-if-changed=../../presets");
}
