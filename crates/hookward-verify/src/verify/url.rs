//! A URL as a sender writes it before it signs.

/// `url` without its port if it has one, otherwise with the port of its scheme.
///
/// Twilio signs either. Its SDKs try the URL with and without the port
/// (`twilio-python/twilio/request_validator.py`).
pub(super) fn with_other_port(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    // The colons of an IPv6 address are in brackets.
    let with_port = authority.rsplit_once(':').filter(|(_, port)| !port.contains(']'));
    if let Some((host, _)) = with_port {
        return format!("{scheme}://{host}{path}");
    }
    let port = if scheme.eq_ignore_ascii_case("http") { 80 } else { 443 };
    format!("{scheme}://{authority}:{port}{path}")
}

/// The escapes that `HubSpot` decodes before it signs (v3), and their characters
/// (<https://developers.hubspot.com/docs/api/webhooks/validating-requests>).
const DECODED: [(&str, char); 12] = [
    ("%3A", ':'),
    ("%2F", '/'),
    ("%3F", '?'),
    ("%40", '@'),
    ("%21", '!'),
    ("%24", '$'),
    ("%27", '\''),
    ("%28", '('),
    ("%29", ')'),
    ("%2A", '*'),
    ("%2C", ','),
    ("%3B", ';'),
];

/// `url` with [`DECODED`] decoded once; every other escape stays as it is.
pub(super) fn decoded(url: &str) -> String {
    let mut text = String::with_capacity(url.len());
    let mut rest = url;
    while let Some((before, from)) = rest.find('%').map(|at| rest.split_at(at)) {
        text.push_str(before);
        let (escape, after) = from.split_at_checked(3).unwrap_or((from, ""));
        let known = DECODED.iter().find(|(written, _)| written.eq_ignore_ascii_case(escape));
        let as_it_is = ('%', from.strip_prefix('%').unwrap_or_default());
        let (character, after) = known.map_or(as_it_is, |(_, character)| (*character, after));
        text.push(character);
        rest = after;
    }
    text.push_str(rest);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_cut_off_or_added() {
        for (one, other) in [
            ("https://a.example/x?y=1", "https://a.example:443/x?y=1"),
            ("http://a.example", "http://a.example:80"),
            ("https://a.example?q=a:b", "https://a.example:443?q=a:b"),
            ("https://[::1]/x", "https://[::1]:443/x"),
        ] {
            assert_eq!(with_other_port(one), other);
            assert_eq!(with_other_port(other), one);
        }
        assert_eq!(with_other_port("https://a.example:8443/x"), "https://a.example/x");
    }

    #[test]
    fn twelve_escapes_are_decoded_once_and_no_other() {
        let all = "%3A%2F%3F%40%21%24%27%28%29%2A%2C%3B";
        assert_eq!(
            decoded(&format!("https://a.example/?x={all}")),
            "https://a.example/?x=:/?@!$'()*,;"
        );
        for untouched in ["%20%26%3D%2B%25%23%5B%C3%A9", "%", "%3", "%é", "%253A", "plain"] {
            assert_eq!(decoded(untouched), untouched);
        }
        assert_eq!(decoded("%2c%25%2C"), ",%25,");
    }
}
