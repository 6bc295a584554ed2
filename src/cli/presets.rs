//! `hookward presets`: the built-in senders, or one of them as TOML to copy.

use super::exit::{CommandStop, Exit};
use super::print;
use crate::senders::presets::{list, list_json, show, to_json};
use hookward_verify::presets::{all, named};

/// Lists the built-in senders, or prints one as TOML to copy
#[derive(Debug, clap::Args)]
pub struct PresetsArguments {
    /// Preset to print
    name: Option<String>,
    /// Print JSON: the list, or one preset with its TOML
    #[arg(long)]
    json: bool,
}

/// Prints the table, or the preset.
///
/// # Errors
/// When there is no preset of this name.
pub fn run(arguments: &PresetsArguments) -> Result<Exit, CommandStop> {
    let Some(name) = &arguments.name else {
        print(&if arguments.json { format!("{}\n", list_json()) } else { list() })?;
        return Ok(Exit::Done);
    };
    let Some(preset) = named(name) else {
        let near = all()
            .map(|preset| (strsim::jaro_winkler(preset.name, name), preset.name))
            .max_by(|(a, _), (b, _)| a.total_cmp(b))
            .filter(|(similarity, _)| *similarity > 0.8);
        let hint = near.map(|(_, near)| format!("; did you mean `{near}`?")).unwrap_or_default();
        return Err(CommandStop::new(Exit::Usage, format!("no preset is called `{name}`{hint}")));
    };
    if arguments.json {
        let mut document = to_json(preset);
        if let Some(members) = document.as_object_mut() {
            members.insert("toml".to_owned(), show(preset).into());
        }
        print(&format!("{document}\n"))?;
    } else {
        print(&show(preset))?;
    }
    Ok(Exit::Done)
}
