//! For any text, the result is a configuration or a list of problems.

use super::{TestSecrets, all, lines, load_with};
use proptest::prelude::*;

const REFERENCE: &str = include_str!("../../../config/hookward.toml");
const PROBLEMS: &str = include_str!("problems.txt");

/// One mistake in editing the file; the numbers choose where.
#[derive(Clone, Debug)]
enum Slip {
    Cut(usize, usize),
    Insert(usize, String),
    /// A part of the file repeated elsewhere.
    Copy(usize, usize, usize),
    Uncomment(usize),
}

fn slip() -> impl Strategy<Value = Slip> {
    prop_oneof![
        (any::<usize>(), 1..40_usize).prop_map(|(at, length)| Slip::Cut(at, length)),
        (any::<usize>(), "[ -~\n\u{e9}]{1,8}").prop_map(|(at, text)| Slip::Insert(at, text)),
        (any::<usize>(), any::<usize>(), 1..80_usize)
            .prop_map(|(from, to, length)| Slip::Copy(from, to, length)),
        any::<usize>().prop_map(Slip::Uncomment),
    ]
}

fn apply(text: &str, slip: &Slip) -> String {
    let characters: Vec<char> = text.chars().collect();
    let at = |position: usize| position % (characters.len() + 1);
    let end = |start: usize, length: usize| (start + length).min(characters.len());
    let mut changed = characters.clone();
    match slip {
        Slip::Cut(position, length) => {
            let start = at(*position);
            changed.drain(start..end(start, *length));
        }
        Slip::Insert(position, text) => {
            let start = at(*position);
            changed.splice(start..start, text.chars());
        }
        Slip::Copy(from, to, length) => {
            let (from, to) = (at(*from), at(*to));
            changed.splice(to..to, characters[from..end(from, *length)].iter().copied());
        }
        Slip::Uncomment(line) => {
            let count = text.lines().count().max(1);
            let bare = |(index, text): (usize, &str)| {
                if index == line % count {
                    text.trim_start_matches("# ").to_owned()
                } else {
                    text.to_owned()
                }
            };
            return text.lines().enumerate().map(bare).collect::<Vec<_>>().join("\n");
        }
    }
    changed.into_iter().collect()
}

fn judge(text: &str) {
    let loaded =
        load_with(text, &TestSecrets::usual().with("SHOP_SECRET", "hunter2-hunter2-hunter2"));
    for line in lines(&all(loaded)) {
        assert_eq!(line.lines().count(), 1, "{line:?}");
        assert!(!line.contains("hunter2-hunter2"), "{line}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn a_reference_with_slips_is_judged_in_whole_lines(slips in prop::collection::vec(slip(), 1..6)) {
        judge(&slips.iter().fold(REFERENCE.to_owned(), |text, slip| apply(&text, slip)));
    }

    #[test]
    fn wrong_files_with_more_slips_are_judged_too(
        case in any::<prop::sample::Index>(),
        slips in prop::collection::vec(slip(), 0..4),
    ) {
        let cases: Vec<_> = PROBLEMS.split("====\n").collect();
        let text = cases[case.index(cases.len())].split("----\n").next().unwrap_or_default();
        let text = text.replace("hunter2", "");
        judge(&slips.iter().fold(text, |text, slip| apply(&text, slip)));
    }

    #[test]
    fn any_text_is_judged(text in any::<String>()) {
        judge(&text);
    }
}
