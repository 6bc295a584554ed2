//! `hookward presets`: the senders that are known, or one of them as TOML to copy.

use super::exit::{Exit, Stop};
use super::print;
use crate::senders::presets::{list, show};
use hookward_verify::presets::{all, named};

/// Lists the senders that are built in, or prints one as TOML to copy
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Preset to print
    name: Option<String>,
}

/// Prints the table, or the preset.
///
/// # Errors
/// When there is no preset of this name.
pub fn run(arguments: &Arguments) -> Result<Exit, Stop> {
    let Some(name) = &arguments.name else {
        print(&list())?;
        return Ok(Exit::Done);
    };
    let Some(preset) = named(name) else {
        let near = all()
            .map(|preset| (strsim::jaro_winkler(preset.name, name), preset.name))
            .max_by(|(a, _), (b, _)| a.total_cmp(b))
            .filter(|(similarity, _)| *similarity > 0.8);
        let hint = near.map(|(_, near)| format!("; did you mean `{near}`?")).unwrap_or_default();
        return Err(Stop::new(Exit::Usage, format!("no preset is called `{name}`{hint}")));
    };
    print(&show(preset))?;
    Ok(Exit::Done)
}
