//! Counts our keys on a server that others may share.
//!
//! The server knows only its total number of keys, so we scan them: a batch at a time, a few
//! batches for each request, so that neither the server nor the caller is held up. On a large
//! server the number is therefore as old as one round takes.

/// A scan of the server's keys, and the result of the last complete one.
#[derive(Debug)]
pub(super) struct Count {
    pattern: String,
    /// The server's cursor for the next batch.
    cursor: String,
    so_far: u64,
    whole: Option<u64>,
}

impl Count {
    /// Counts the keys that consist of `start` and a hexadecimal number.
    pub(super) fn of(start: &str) -> Self {
        let pattern = pattern(start);
        Self { pattern, cursor: FIRST.to_owned(), so_far: 0, whole: None }
    }

    /// The cursor for the next batch, and the pattern of the keys.
    pub(super) fn next(&self) -> (&str, &str) {
        (&self.cursor, &self.pattern)
    }

    /// Adds the result of a batch. Returns whether the round is complete.
    pub(super) fn add(&mut self, cursor: String, keys: u64) -> bool {
        self.so_far += keys;
        let is_over = cursor == FIRST;
        if is_over {
            self.whole = Some(std::mem::take(&mut self.so_far));
        }
        self.cursor = cursor;
        is_over
    }

    /// The result of the last complete round; during the first, the count so far.
    pub(super) fn latest(&self) -> u64 {
        self.whole.unwrap_or(self.so_far)
    }
}

/// The pattern of keys that are `start` and a hexadecimal number.
pub(super) fn pattern(start: &str) -> String {
    let mut pattern = String::with_capacity(start.len() + 10);
    for character in start.chars() {
        if matches!(character, '*' | '?' | '[' | ']' | '\\' | '^') {
            pattern.push('\\');
        }
        pattern.push(character);
    }
    // Keys of events are hexadecimal numbers; a trial's key is not.
    pattern.push_str("[0-9a-f]*");
    pattern
}

/// The cursor at which a round starts, and which the last batch returns.
const FIRST: &str = "0";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_that_of_the_last_whole_round() {
        let mut count = Count::of("hookward:event:");
        assert_eq!(count.next(), ("0", "hookward:event:[0-9a-f]*"));
        assert!(!count.add("17".to_owned(), 5));
        assert_eq!((count.latest(), count.next().0), (5, "17"));
        assert!(count.add("0".to_owned(), 2));
        assert_eq!(count.latest(), 7);
        assert!(!count.add("9".to_owned(), 1));
        assert_eq!(count.latest(), 7, "the second round is not over");
        assert!(count.add("0".to_owned(), 0));
        assert_eq!(count.latest(), 1);
    }

    #[test]
    fn a_prefix_is_no_pattern() {
        assert_eq!(Count::of(r"a*[b]?\^:").next().1, r"a\*\[b\]\?\\\^:[0-9a-f]*");
    }
}
