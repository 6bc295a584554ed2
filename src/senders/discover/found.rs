//! What was found.

use hookward_verify::scheme::Scheme;

/// A scheme that the captured request fits.
#[derive(Clone, Debug)]
pub struct FoundScheme {
    /// The preset that says all or part of it.
    pub preset: Option<&'static str>,
    /// The `[sources.NAME]` table that verifies the request, ready to paste; its secret is read from
    /// the environment. Routes are the reader's to add.
    pub table: String,
    /// The scheme that the table says.
    pub scheme: Scheme,
}
