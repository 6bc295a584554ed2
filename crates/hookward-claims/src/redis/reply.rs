//! The answers of the scripts.

use crate::Standing;
use hookward_time::UnixMillis;
use std::time::Duration;

/// The state of a key from its value and the milliseconds until it expires; `None` if the value is
/// foreign.
pub(super) fn standing(value: &str, left: i64) -> Option<Standing> {
    if value.is_empty() {
        return Some(Standing::Absent);
    }
    let (kind, rest) = value.split_once(' ').unwrap_or((value, ""));
    Some(match kind {
        "c" => Standing::Claimed,
        "f" => Standing::InFlight { since: instant(rest.split_once(' ')?.1)? },
        "d" => {
            let (since, fingerprint) = rest.split_once(' ')?;
            Standing::Delivered { since: instant(since)?, fingerprint: fingerprint.parse().ok()? }
        }
        "u" => {
            let (since, note) = rest.split_once(' ')?;
            let left = Duration::from_millis(u64::try_from(left).unwrap_or(0));
            Standing::Uncertain { since: instant(since)?, left, note: note.to_owned() }
        }
        "r" => Standing::Released { note: rest.to_owned() },
        _ => return None,
    })
}

/// The server's version from `INFO`, if it is older than `oldest`.
pub(super) fn too_old(text: &str, oldest: (u32, u32)) -> Option<&str> {
    let version = info(text, "redis_version")?;
    let mut numbers = version.split('.').map_while(|number| number.parse::<u32>().ok());
    ((numbers.next()?, numbers.next()?) < oldest).then_some(version)
}

/// Why a server in this mode, according to `INFO`, can never work.
pub(super) fn unfit(text: &str) -> Option<&'static str> {
    match info(text, "redis_mode")? {
        "cluster" => Some(
            "runs in cluster mode, which Hookward does not support, because the keys of one event \
             can belong to several nodes. Use a Redis without cluster mode",
        ),
        "sentinel" => Some(
            "is a Sentinel, which holds no data. Use the address of the primary, or a name that \
             follows it",
        ),
        _ => None,
    }
}

/// The value of a line of `INFO`.
pub(super) fn info<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim)
}

fn instant(text: &str) -> Option<UnixMillis> {
    text.parse().ok().map(UnixMillis)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_value_has_its_standing_and_others_have_none() {
        let since = UnixMillis(17);
        for (value, expected) in [
            ("", Some(Standing::Absent)),
            ("c", Some(Standing::Claimed)),
            ("f 99 17", Some(Standing::InFlight { since })),
            ("d 17 5", Some(Standing::Delivered { since, fingerprint: 5 })),
            ("u 17 ", Some(Standing::Uncertain { since, left: SECOND, note: String::new() })),
            ("u 17 a b", Some(Standing::Uncertain { since, left: SECOND, note: "a b".into() })),
            ("r 500 why", Some(Standing::Released { note: "500 why".into() })),
            ("d 17", None),
            ("f 99", None),
            ("somebody else's", None),
        ] {
            assert_eq!(standing(value, 1000), expected, "{value}");
        }
    }

    #[test]
    fn a_server_is_too_old_by_number_and_not_by_text() {
        for (version, expected) in
            [("6.0.16", true), ("6.2.0", false), ("7.0.15", false), ("10.0.0", false), ("x", false)]
        {
            let text = format!("# Server\r\nredis_version:{version}\r\n");
            assert_eq!(too_old(&text, (6, 2)), expected.then_some(version));
        }
        assert_eq!(too_old("", (6, 2)), None);
    }

    #[test]
    fn a_sentinel_and_a_node_of_a_cluster_are_unfit() {
        for (mode, expected) in
            [("standalone", None), ("cluster", Some("runs in cluster")), ("sentinel", Some("is a"))]
        {
            let text = format!("# Server\r\nredis_mode:{mode}\r\n");
            let why = unfit(&text);
            assert_eq!(why.is_some(), expected.is_some(), "{mode}");
            assert!(why.unwrap_or_default().starts_with(expected.unwrap_or_default()), "{why:?}");
        }
    }

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_line_of_info_is_found_by_its_whole_name() {
        let text = "# Memory\r\nmaxmemory_policy:noeviction\r\nmaxmemory:0\r\n";
        assert_eq!(info(text, "maxmemory"), Some("0"));
        assert_eq!(info(text, "maxmemory_policy"), Some("noeviction"));
        assert_eq!(info(text, "redis_version"), None);
    }
}
