//! A JSON object as a tree, without repeated members at any depth.
//!
//! For small texts that are signed as a whole: tokens and key sets. If a member were repeated, two
//! parsers might see two different tokens.

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};
use std::fmt;

/// Reads one JSON object to its last byte.
///
/// # Errors
/// What is wrong, with the position but without any part of the text.
pub(crate) fn object(text: &[u8]) -> Result<Map<String, Value>, String> {
    let text = std::str::from_utf8(text).map_err(|_| "not UTF-8".to_owned())?;
    let mut json = serde_json::Deserializer::from_str(text);
    let read = Tree.deserialize(&mut json).and_then(|value| json.end().map(|()| value));
    match read {
        Ok(Value::Object(members)) => Ok(members),
        Ok(_) => Err("not a JSON object".to_owned()),
        Err(error) if error.is_data() => Err("a member appears twice".to_owned()),
        Err(error) => Err(format!("not JSON from column {} on", error.column())),
    }
}

struct Tree;

impl<'de> DeserializeSeed<'de> for Tree {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Value, D::Error> {
        json.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Tree {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Number::from_f64(value).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Value, A::Error> {
        let mut values = Vec::new();
        while let Some(value) = list.next_element_seed(Self)? {
            values.push(value);
        }
        Ok(Value::Array(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Value, A::Error> {
        let mut members = Map::new();
        while let Some(name) = object.next_key::<String>()? {
            let value = object.next_value_seed(Self)?;
            if members.insert(name, value).is_some() {
                return Err(A::Error::custom("twice"));
            }
        }
        Ok(Value::Object(members))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_that_stands_twice_is_found_at_any_depth() {
        for (text, sound) in [
            (r#"{"a":1,"b":{"c":[{"d":1}]}}"#, true),
            (r#"{"a":1,"a":1}"#, false),
            (r#"{"a":1,"\u0061":1}"#, false),
            (r#"{"b":{"c":[{"d":1,"d":2}]}}"#, false),
            ("[]", false),
            (r#"{"a":1}x"#, false),
            (r#"{"a":1"#, false),
            ("", false),
        ] {
            assert_eq!(object(text.as_bytes()).is_ok(), sound, "{text}");
        }
        let deep = format!("{}{}", "{\"a\":".repeat(5000), "1");
        assert!(object(deep.as_bytes()).is_err(), "no stack is deep enough for every text");
    }
}
