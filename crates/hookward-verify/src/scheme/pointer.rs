//! Where a member of a JSON body is: a JSON Pointer.

use std::fmt;

/// A JSON Pointer (RFC 6901), split and unescaped; empty for the whole document.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Pointer(Vec<String>);

impl Pointer {
    /// Reads `/a/b~1c/0`.
    ///
    /// # Errors
    /// A sentence about what is wrong with `text`, for its author.
    pub fn parse(text: &str) -> Result<Self, String> {
        let Some(rest) = text.strip_prefix('/') else {
            return Err(format!(
                "`{text}` is no JSON Pointer: it must start with `/`, as in `/data/id`"
            ));
        };
        let mut tokens = Vec::new();
        for token in rest.split('/') {
            let mut plain = String::with_capacity(token.len());
            let mut characters = token.chars();
            while let Some(character) = characters.next() {
                plain.push(match character {
                    '~' => match characters.next() {
                        Some('0') => '~',
                        Some('1') => '/',
                        _ => {
                            return Err(format!(
                                "`{text}` is no JSON Pointer: `~` must be written `~0`"
                            ));
                        }
                    },
                    other => other,
                });
            }
            tokens.push(plain);
        }
        Ok(Self(tokens))
    }

    /// A pointer of these names.
    pub(crate) fn of(names: &[&str]) -> Self {
        Self(names.iter().map(|name| (*name).to_owned()).collect())
    }

    /// The names and indices from the root to the member.
    #[must_use]
    pub fn tokens(&self) -> &[String] {
        &self.0
    }

    /// The array and the rest of the path, if this points into the first element of an array: from
    /// `/items/0/id`, `/items` and `/id`.
    #[must_use]
    pub(crate) fn split_at_first_element(&self) -> Option<(Self, Self)> {
        let at = self.0.iter().position(|token| token == "0")?;
        let (array, rest) = self.0.split_at(at);
        Some((Self(array.to_vec()), Self(rest.get(1..)?.to_vec())))
    }

    /// Whether `other` points to the same value, or into it.
    #[must_use]
    pub fn leads_to(&self, other: &Self) -> bool {
        other.0.starts_with(&self.0)
    }
}

impl fmt::Display for Pointer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0
            .iter()
            .try_for_each(|token| write!(f, "/{}", token.replace('~', "~0").replace('/', "~1")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pointer_is_split_and_unescaped() {
        let pointer = Pointer::parse("/a~1b/~0/0").expect("a pointer");
        assert_eq!(pointer.tokens(), ["a/b", "~", "0"]);
        assert!(Pointer::parse("a/b").is_err());
        assert!(Pointer::parse("/a~2").is_err());
    }
}
