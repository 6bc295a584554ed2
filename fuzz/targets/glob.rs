//! Patterns of event types, with the textbook algorithm as the oracle.

use hookward::delivery::route::TypeGlob;

/// Two patterns and a type, between line ends. Matching agrees with the oracle; a pattern that
/// covers another one matches whatever that one matches.
pub(crate) fn run(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let mut parts = text.splitn(3, '\n');
    let mut part = || parts.next().unwrap_or_default();
    let (wide, narrow, event_type) = (part(), part(), part());
    if text.len() > 2048 {
        return;
    }
    let [wide, narrow] = [wide, narrow].map(TypeGlob::new);
    for glob in [&wide, &narrow] {
        let expected = reference(glob.as_str().as_bytes(), event_type.as_bytes());
        assert_eq!(glob.matches(event_type), expected, "{glob:?} {event_type:?}");
        assert_eq!(glob.literal().is_some(), !glob.as_str().contains('*'));
    }
    if wide.covers(&narrow) && narrow.matches(event_type) {
        assert!(wide.matches(event_type), "{wide:?} over {narrow:?}: {event_type:?}");
    }
}

/// Row by row: whether the pattern so far matches the text so far.
fn reference(pattern: &[u8], text: &[u8]) -> bool {
    let mut row = vec![false; text.len() + 1];
    row[0] = true;
    for byte in pattern {
        if *byte == b'*' {
            for at in 1..row.len() {
                row[at] |= row[at - 1];
            }
        } else {
            for at in (1..row.len()).rev() {
                row[at] = row[at - 1] && text[at - 1] == *byte;
            }
            row[0] = false;
        }
    }
    row[text.len()]
}
