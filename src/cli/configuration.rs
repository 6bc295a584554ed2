//! The configuration that a command uses, and its sources.

use super::complain;
use super::exit::{CommandStop, Exit};
use crate::config::{Config, ConfigPart, Problem, SystemSecrets, nearest};
use crate::delivery::source::Source;
use hookward_secret::NamedSecret;
use hookward_time::UnixMillis;
use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};

/// Which configuration.
#[derive(Clone, Debug, clap::Args)]
pub struct ConfigFile {
    /// See [`ConfigFile::path`].
    #[arg(
        long,
        value_name = "FILE",
        help = "Configuration file [default: $HOOKWARD_CONFIG, otherwise config/hookward.toml]"
    )]
    config: Option<PathBuf>,
}

/// The variable that names the file if `--config` does not.
const VARIABLE: &str = "HOOKWARD_CONFIG";

/// The file that is used by default.
const DEFAULT: &str = "config/hookward.toml";

impl ConfigFile {
    /// The file: `--config`, otherwise the variable if it is not empty, otherwise the default.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        self.named().unwrap_or_else(|| DEFAULT.into())
    }

    /// This file.
    #[must_use]
    pub fn of(file: &Path) -> Self {
        Self { config: Some(file.to_path_buf()) }
    }

    /// The same, but `file` instead of the default if `--config` is absent.
    #[must_use]
    pub fn or(&self, file: Option<&PathBuf>) -> Self {
        Self { config: self.config.clone().or_else(|| file.cloned()) }
    }

    fn named(&self) -> Option<PathBuf> {
        let variable = || std::env::var_os(VARIABLE).filter(|file| !file.is_empty());
        self.config.clone().or_else(|| variable().map(PathBuf::from))
    }

    /// The configuration, for using this part of it. Warnings are left to `check` and `run`.
    ///
    /// # Errors
    /// All problems, if one of them is an error.
    pub fn load(&self, part: ConfigPart<'_>) -> Result<Config, CommandStop> {
        match Config::load_part(&self.path(), &SystemSecrets, part) {
            Ok((config, _)) => Ok(config),
            Err(problems) => Err(self.unusable(&problems)),
        }
    }

    /// The end of a command whose configuration has these problems.
    #[must_use]
    pub fn unusable(&self, problems: &[Problem]) -> CommandStop {
        let path = self.path();
        let mut text = format!("{} cannot be used", path.display());
        for problem in problems {
            _ = write!(text, "\n{problem}");
        }
        if let Some(hint) = self.hint() {
            _ = write!(text, "\n{hint}");
        }
        CommandStop::new(Exit::Usage, text)
    }

    /// A hint for the case that the default file does not exist.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        (self.named().is_none() && !Path::new(DEFAULT).exists())
            .then_some("name the configuration file with --config FILE or $HOOKWARD_CONFIG")
    }
}

/// The source of this name.
///
/// # Errors
/// When there is none, with the existing names.
pub fn source<'c>(config: &'c Config, name: &str) -> Result<&'c Source, CommandStop> {
    config.sources.iter().find(|source| source.name.as_str() == name).ok_or_else(|| {
        let names: Vec<_> = config.sources.iter().map(|source| source.name.as_str()).collect();
        let known = match names.as_slice() {
            [] => "the configuration has none".to_owned(),
            names => format!("the sources are: {}", names.join(", ")),
        };
        let near = nearest(name, names.iter().copied());
        let near = near.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
        CommandStop::new(Exit::Usage, format!("no source is called `{name}`{near}; {known}"))
    })
}

/// The secret that a source signs with now.
///
/// # Errors
/// When it could not be read.
pub fn newest_secret(source: &Source) -> Result<&NamedSecret, CommandStop> {
    match (&source.sender.keys, source.sender.secrets.first()) {
        (Err(why), _) => {
            Err(CommandStop::new(Exit::Usage, format!("source `{}`: {why}", source.name)))
        }
        (Ok(_), Some(secret)) => {
            tell_unreadable(source);
            Ok(secret)
        }
        (Ok(_), None) => {
            Err(CommandStop::new(Exit::Usage, format!("source `{}` has no secret", source.name)))
        }
    }
}

/// Reports which secrets of the source are ignored, because they cannot be read here.
pub fn tell_unreadable(source: &Source) {
    for secret in &source.unreadable {
        let (index, why) = (secret.index, &secret.why);
        complain(&format!("sources.{}.secrets[{index}] is ignored: {why}\n", source.name));
    }
}

/// How to reach a listener on this machine that listens on `address`, the value of `key`.
///
/// # Errors
/// When the port is 0, so that the real port is unknown.
pub fn reachable(key: &str, address: SocketAddr) -> Result<SocketAddr, CommandStop> {
    if address.port() == 0 {
        let problem = format!("{key} has port 0 (any free port), so its real port is unknown");
        return Err(CommandStop::new(Exit::Usage, problem));
    }
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    Ok(SocketAddr::new(ip, address.port()))
}

/// Reads a TIME argument: RFC 3339, or whole seconds since 1970.
///
/// # Errors
/// A message, if it is neither.
pub fn time(text: &str) -> Result<UnixMillis, String> {
    if let Ok(seconds) = text.parse() {
        return Ok(UnixMillis::from_seconds(seconds));
    }
    text.parse::<jiff::Timestamp>()
        .map(|instant| UnixMillis(instant.as_millisecond()))
        .map_err(|_| "neither RFC 3339, such as 2026-03-16T10:20:30Z, nor unix seconds".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_rfc_3339_or_unix_seconds() {
        for (text, expected) in [
            ("1773656430", Some(1_773_656_430_000)),
            ("-1", Some(-1000)),
            ("2026-03-16T10:20:30Z", Some(1_773_656_430_000)),
            ("2026-03-16T11:20:30.5+01:00", Some(1_773_656_430_500)),
            ("2026-03-16", None),
            ("soon", None),
            ("", None),
        ] {
            assert_eq!(time(text).ok(), expected.map(UnixMillis), "{text}");
        }
    }

    #[test]
    fn a_listener_on_any_address_is_reached_on_loopback() {
        for (listens, reached) in [
            ("0.0.0.0:9090", "127.0.0.1:9090"),
            ("[::]:9090", "[::1]:9090"),
            ("10.0.0.7:80", "10.0.0.7:80"),
        ] {
            let listens = listens.parse().expect("an address");
            let reachable = reachable("admin.listen", listens).map(|address| address.to_string());
            assert_eq!(reachable.ok().as_deref(), Some(reached));
        }
        let free = "127.0.0.1:0".parse().expect("an address");
        assert!(reachable("admin.listen", free).is_err());
    }
}
