//! What one reading shares: where the values come from, and the problems that were found.

use crate::document::Node;
use crate::part::ConfigPart;
use crate::problem::{Problem, Severity};
use crate::secret_reader::SecretReader;
use std::cell::RefCell;
use std::path::{Path, PathBuf};

/// The shared state of reading one configuration: its source and the problems found.
pub struct Reading<'a> {
    /// The file, as problems name it.
    pub file: &'a str,
    /// Where secrets are read from.
    pub secrets: &'a dyn SecretReader,
    part: ConfigPart<'a>,
    base_dir: &'a Path,
    pub(super) hint: Hint,
    problems: RefCell<Vec<Problem>>,
}

/// Describes an unknown key and its probable meaning, from the path of the table (empty for the
/// root), the key's name and its value. `None`: the usual message.
pub type Hint = fn(&str, &str, &Node) -> Option<(String, String)>;

impl<'a> Reading<'a> {
    /// A reading of the file `file`; paths in it are relative to `base_dir`.
    pub fn new(
        file: &'a str,
        base_dir: &'a Path,
        secrets: &'a dyn SecretReader,
        part: ConfigPart<'a>,
    ) -> Self {
        Self { file, secrets, part, base_dir, hint: |_, _, _| None, problems: RefCell::default() }
    }

    /// The same reading, which asks `hint` about keys that a table does not have.
    #[must_use]
    pub fn with_hint(self, hint: Hint) -> Self {
        Self { hint, ..self }
    }

    /// Whether the secret or the file that the key of this path names has to be there.
    pub fn needs(&self, key: &str) -> bool {
        self.part.needs(key)
    }

    /// A path from the file. A relative one is relative to the file's directory.
    pub fn resolve(&self, path: &str) -> PathBuf {
        self.base_dir.join(path)
    }

    /// Notes a problem.
    pub fn note(&self, problem: Problem) {
        self.problems.borrow_mut().push(problem);
    }

    /// Whether an error was noted.
    pub fn has_errors(&self) -> bool {
        self.problems.borrow().iter().any(|problem| problem.severity == Severity::Error)
    }

    /// Whether it is read to serve from.
    pub fn serves(&self) -> bool {
        self.part == ConfigPart::Whole
    }

    /// Everything that was noted: errors first, then warnings, then notes, each in the order of the
    /// file.
    pub fn into_problems(self) -> Vec<Problem> {
        let mut problems = self.problems.into_inner();
        problems.sort_by_key(|problem| (problem.severity, problem.place));
        problems
    }
}
