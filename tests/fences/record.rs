//! The recorded numbers.

use std::path::PathBuf;
use std::sync::Mutex;

/// Tests run side by side, and each records its own.
static FILE: Mutex<()> = Mutex::new(());

const HEADER: &str =
    "# What a delivery cost when it was last recorded; see main.rs beside this file.\n";

fn path() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fences/recorded.toml")
}

/// Holds what was measured against the record of `section`. With `HOOKWARD_RECORD` it becomes the
/// record.
///
/// # Panics
/// If a number is more than `tolerance` (as a share) above its record, or is not in it.
pub fn compare(section: &str, measured: &[(&str, f64)], tolerance: f64) {
    let _guard = FILE.lock().unwrap();
    let text = std::fs::read_to_string(path()).unwrap_or_default();
    let mut record: toml::Table = text.parse().expect("a record is TOML");
    if std::env::var_os("HOOKWARD_RECORD").is_some() {
        let numbers = measured.iter().map(|(name, number)| {
            let rounded = (number * 100.0).round() / 100.0;
            ((*name).to_owned(), toml::Value::Float(rounded))
        });
        record.insert(section.to_owned(), toml::Value::Table(numbers.collect()));
        std::fs::write(path(), format!("{HEADER}{record}")).unwrap();
        return;
    }
    let risen = risen(&record, section, measured, tolerance);
    assert!(risen.is_empty(), "{section} have risen by more than {tolerance}: {risen:#?}");
}

/// Whether [`compare`] would fail.
pub fn has_risen(section: &str, measured: &[(&str, f64)], tolerance: f64) -> bool {
    let _guard = FILE.lock().unwrap();
    let record = std::fs::read_to_string(path()).unwrap_or_default();
    let record = record.parse().expect("a record is TOML");
    std::env::var_os("HOOKWARD_RECORD").is_none()
        && !risen(&record, section, measured, tolerance).is_empty()
}

/// What is too far above its record, or is not in it.
fn risen(
    record: &toml::Table,
    section: &str,
    measured: &[(&str, f64)],
    tolerance: f64,
) -> Vec<String> {
    let mut risen = Vec::new();
    for (name, number) in measured {
        let before = record.get(section).and_then(|section| section.get(*name)?.as_float());
        println!("{section}, {name}: {number:.2}, recorded {before:?}");
        if before.is_none_or(|before| *number > before * (1.0 + tolerance)) {
            risen.push(format!("{name}: {number:.2}, recorded {before:?}"));
        }
    }
    risen
}
