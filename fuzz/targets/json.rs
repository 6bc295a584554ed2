//! Members of a body, with a reader that builds the whole tree as the oracle.

use hookward_verify::json::read_members;
use hookward_verify::scheme::Pointer;
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::Value;
use std::fmt;
use std::sync::LazyLock;

static POINTERS: LazyLock<Vec<Pointer>> = LazyLock::new(|| {
    ["/id", "/type", "/data", "/data/id", "/0/id", "/data/0", "/a~1b/~0", "/"]
        .map(|text| Pointer::parse(text).expect("a pointer"))
        .to_vec()
});

/// The first byte chooses the pointers, the rest is the body. Both parsers agree on what is one
/// JSON text and on its values; a repeated member on the way is always refused.
pub(crate) fn run(data: &[u8]) {
    let Some((choice, body)) = data.split_first() else { return };
    let wanted: Vec<&Pointer> = POINTERS
        .iter()
        .enumerate()
        .filter(|(bit, _)| choice >> bit & 1 == 1)
        .map(|(_, pointer)| pointer)
        .collect();
    let found = read_members(body, &wanted);
    let tree = serde_json::from_slice::<Tree>(body);
    let value = serde_json::from_slice::<Value>(body);
    let (tree, value) = match (tree, value) {
        (Ok(tree), Ok(value)) => (tree, value),
        (Err(fault), _) | (_, Err(fault)) => {
            // The oracle stops at a depth, at numbers beyond a float and at half a surrogate pair,
            // all of which are grammatical and may be skipped.
            let text = fault.to_string();
            let only_the_oracle = ["recursion", "out of range", "surrogate", "hex escape"]
                .iter()
                .any(|limit| text.contains(limit));
            assert!(wanted.is_empty() || found.is_err() || only_the_oracle, "{text}");
            return;
        }
    };
    let doubled = wanted.iter().any(|pointer| tree.doubles(&tokens(pointer)));
    let found = match found {
        Ok(found) => found,
        Err(fault) => {
            assert!(doubled, "refused although it is in order: {fault}");
            return;
        }
    };
    assert!(!doubled, "a doubled member was read");
    for (pointer, member) in wanted.iter().zip(found) {
        match value.pointer(&pointer.to_string()) {
            Some(Value::String(text)) => assert_eq!(member.text(), Some(text.as_str())),
            Some(Value::Number(number)) if number.is_i64() || number.is_u64() => {
                let read = member.text().expect("an integer").parse::<i128>().expect("digits");
                let expected = number
                    .as_i64()
                    .map_or_else(|| i128::from(number.as_u64().expect("an integer")), i128::from);
                assert_eq!(read, expected);
            }
            // An integer too large for the oracle is its text here; a float is no text.
            Some(Value::Number(_)) => {
                assert!(member.text().is_none_or(|t| !t.contains(['.', 'e', 'E'])));
            }
            _ => assert_eq!(member.text(), None, "{pointer}"),
        }
    }
}

fn tokens(pointer: &Pointer) -> Vec<String> {
    let text = pointer.to_string();
    text.split('/').skip(1).map(|token| token.replace("~1", "/").replace("~0", "~")).collect()
}

/// A tree that keeps members which stand twice.
enum Tree {
    Scalar,
    Array(Vec<Tree>),
    Object(Vec<(String, Tree)>),
}

impl Tree {
    /// Whether a member on the way along `tokens` appears twice in its object.
    fn doubles(&self, tokens: &[String]) -> bool {
        let Some((token, rest)) = tokens.split_first() else { return false };
        match self {
            Self::Scalar => false,
            Self::Array(elements) => {
                let canonical = token == "0" || !token.starts_with(['0', '+']);
                let index = token.parse::<usize>().ok().filter(|_| canonical);
                index.and_then(|i| elements.get(i)).is_some_and(|child| child.doubles(rest))
            }
            Self::Object(members) => {
                let mut same = members.iter().filter(|(name, _)| name == token);
                let first = same.next();
                same.next().is_some() || first.is_some_and(|(_, child)| child.doubles(rest))
            }
        }
    }
}

impl<'de> Deserialize<'de> for Tree {
    fn deserialize<D: Deserializer<'de>>(value: D) -> Result<Self, D::Error> {
        value.deserialize_any(Grow)
    }
}

struct Grow;

impl<'de> Visitor<'de> for Grow {
    type Value = Tree;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_bool<E>(self, _: bool) -> Result<Tree, E> {
        Ok(Tree::Scalar)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Tree, E> {
        Ok(Tree::Scalar)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Tree, E> {
        Ok(Tree::Scalar)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Tree, E> {
        Ok(Tree::Scalar)
    }

    fn visit_str<E>(self, _: &str) -> Result<Tree, E> {
        Ok(Tree::Scalar)
    }

    fn visit_unit<E>(self) -> Result<Tree, E> {
        Ok(Tree::Scalar)
    }

    fn visit_seq<S: SeqAccess<'de>>(self, mut seq: S) -> Result<Tree, S::Error> {
        let mut elements = Vec::new();
        while let Some(element) = seq.next_element()? {
            elements.push(element);
        }
        Ok(Tree::Array(elements))
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Tree, M::Error> {
        let mut members = Vec::new();
        while let Some(member) = map.next_entry()? {
            members.push(member);
        }
        Ok(Tree::Object(members))
    }
}
