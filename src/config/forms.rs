//! Forms of values that only this program uses.

use super::upstream::UpstreamUrl;
use crate::delivery::source::RateLimit;
use hookward_settings::value::{Fault, Form, plain_url};
use std::time::Duration;

impl Form for RateLimit {
    const NAME: &'static str = "a rate";
    const ALLOWED: &'static str =
        "a whole number from 1 to 4294967295 per second or minute, such as \"100/s\" or \"600/m\"";

    fn parse(text: &str) -> Result<Self, Fault> {
        let (number, unit) = text.split_once('/').ok_or("not a rate")?;
        let per = match unit {
            "s" => Duration::from_secs(1),
            "m" => Duration::from_mins(1),
            _ => {
                let near = unit.chars().next().filter(|&c| c == 's' || c == 'm');
                let suggestion = near.map(|unit| format!("\"{number}/{unit}\""));
                return Err(Fault { what: "not a rate".to_owned(), suggestion });
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

impl Form for UpstreamUrl {
    const NAME: &'static str = "a URL";
    const ALLOWED: &'static str = "http:// or https:// with a host, optionally a port and a path, such as \
         \"http://127.0.0.1:9001\"";

    fn parse(text: &str) -> Result<Self, Fault> {
        let url = plain_url(text)?;
        let secure = url.scheme() == "https";
        let authority_host = url.host_str().unwrap_or_default();
        let host = authority_host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let authority = match url.port() {
            Some(port) => format!("{authority_host}:{port}"),
            None => authority_host.to_owned(),
        };
        let port = url.port().unwrap_or(if secure { 443 } else { 80 });
        if port == 0 {
            return Err("port 0 cannot be connected to".into());
        }
        let path = Some(url.path()).filter(|&path| path != "/").map(ToOwned::to_owned);
        Ok(Self { secure, host, port, path, authority })
    }
}
