//! `hookward man` and `hookward completions`: files that packages install with the binary,
//! generated from the declarations of the commands.

use super::exit::{CommandStop, Exit};
use super::print;
use clap::Command;
use clap_mangen::Man;
use std::io;
use std::path::PathBuf;

/// Prints the manual page, or writes one page per command to a directory
#[derive(Debug, clap::Args)]
pub struct ManArguments {
    /// Write hookward.1, hookward-run.1 and so on into this directory
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

/// Prints completions for a shell
#[derive(Debug, clap::Args)]
pub struct CompletionsArguments {
    /// Name of the shell
    shell: clap_complete::Shell,
}

/// What the declarations of the commands do not contain, as roff.
const REST: &str = r#".SH "EXIT STATUS"
.TP
0
done
.TP
1
the answer is no
.TP
2
wrong usage or configuration; nothing was done
.TP
3
an address is taken, a store or a proxy does not answer
.TP
130
stopped at once by a second SIGTERM or SIGINT
.SH SIGNALS
.TP
SIGTERM, SIGINT
drain, then stop; a second one stops at once
.TP
SIGHUP
read the configuration and every file that it names again; with a problem, the old one serves on
.SH ENVIRONMENT
.TP
HOOKWARD_CONFIG
the configuration, where no \-\-config is given
.TP
NO_COLOR
no colours, whatever its value
.SH FILES
.TP
/etc/hookward/hookward.toml
the configuration of the service that the Debian package installs
.TP
/usr/share/doc/hookward/hookward.toml
the reference configuration: every key with its default
"#;

/// Prints the page or writes all of them.
///
/// # Errors
/// When the directory or stdout cannot be written to.
pub fn man(arguments: &ManArguments, command: Command) -> Result<Exit, CommandStop> {
    // Clap would create a separate page for `help`, with a copy of all commands.
    let command = command.disable_help_subcommand(true);
    let failed =
        |fault: io::Error| CommandStop::new(Exit::No, format!("cannot write the manual: {fault}"));
    let mut page = Vec::new();
    let main = Man::new(command.clone());
    main.render(&mut page).map_err(failed)?;
    page.extend_from_slice(REST.as_bytes());
    let Some(directory) = &arguments.dir else {
        print(&String::from_utf8_lossy(&page))?;
        return Ok(Exit::Done);
    };
    std::fs::create_dir_all(directory).map_err(failed)?;
    clap_mangen::generate_to(command, directory).map_err(failed)?;
    std::fs::write(directory.join("hookward.1"), &page).map_err(failed)?;
    Ok(Exit::Done)
}

/// Prints the completions.
///
/// # Errors
/// When stdout cannot be written to.
pub fn completions(
    arguments: &CompletionsArguments,
    mut command: Command,
) -> Result<Exit, CommandStop> {
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut command, "hookward", &mut script);
    print(&String::from_utf8_lossy(&script))?;
    Ok(Exit::Done)
}
