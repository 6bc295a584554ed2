//! Forms of values that only this program uses.

use crate::delivery::source::RateLimit;
use hookward_settings::problem::Severity;
use hookward_settings::reading::{Item, TableReader};
use hookward_settings::value::{Form, FormFault};
use std::path::PathBuf;
use std::time::Duration;

impl Form for RateLimit {
    const NAME: &'static str = "a rate";
    const ALLOWED: &'static str =
        "a whole number from 1 to 4294967295 per second or minute, such as \"100/s\" or \"600/m\"";

    fn parse(text: &str) -> Result<Self, FormFault> {
        let (number, unit) = text.split_once('/').ok_or("not a rate")?;
        let per = match unit {
            "s" => Duration::from_secs(1),
            "m" => Duration::from_mins(1),
            _ => {
                let near = unit.chars().next().filter(|&c| c == 's' || c == 'm');
                let suggestion = near.map(|unit| format!("\"{number}/{unit}\""));
                return Err(FormFault { what: "not a rate".to_owned(), suggestion });
            }
        };
        let plain = !number.starts_with('+');
        match number.parse::<u32>() {
            Ok(0) => Err("must not be zero".into()),
            Ok(requests) if plain => Ok(Self { requests, per }),
            _ => Err("not a rate".into()),
        }
    }

    fn from_number(digits: &str) -> Option<String> {
        digits.parse::<u32>().ok().map(|number| format!("\"{number}/s\""))
    }
}

/// The path in an item, with the item for reporting problems with the file.
pub(super) fn with_file(item: Item<'_>) -> Option<(Item<'_>, PathBuf)> {
    let path = hookward_settings::secrets::file_path(&item)?;
    Some((item, path))
}

/// A number of times.
pub(super) fn count(item: &Item<'_>) -> Option<u32> {
    item.whole(1, 1_000_000).and_then(|count| u32::try_from(count).ok())
}

/// Reports a key that has no effect without another.
pub(super) fn needs(table: &TableReader<'_>, name: &'static str, other: &'static str) {
    if table.get(name).is_some() && table.get(other).is_none() {
        table.note(Severity::Error, name, &format!("has no effect without `{other}`"), None);
    }
}
