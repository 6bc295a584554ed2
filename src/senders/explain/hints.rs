//! Unusual facts about a request whose signature mismatch is unexplained.
//!
//! Unlike a mistake, a hint proves nothing: it is what a person would check next.

use crate::delivery::arrival;
use crate::request::RequestHead;
use crate::senders::explain::restyled::JsonNode;

/// Members that an object has at least before their order says something.
const TELLING_MEMBERS: usize = 4;

/// What there is to say, the plainest first.
pub(super) fn of(head: &RequestHead, body: &[u8]) -> Vec<String> {
    let mut hints = Vec::new();
    let declared = arrival::declared_bytes(head).filter(|declared| *declared != body.len());
    if let Some(declared) = declared {
        let what = if body.len() < declared { "cut off" } else { "longer than the sent body" };
        hints.push(format!(
            "The body is {what}: {} bytes, but `Content-Length: {declared}`. Was it saved as text?",
            body.len()
        ));
    }
    if let Err(fault) = std::str::from_utf8(body) {
        hints.push(format!(
            "The body is not UTF-8 from byte {} on: it is compressed, binary, or in another \
             character set.",
            fault.valid_up_to()
        ));
    } else if body.windows(3).any(|three| three == "\u{fffd}".as_bytes()) {
        hints.push(
            "The body contains the character U+FFFD: a program could not read the original as \
             UTF-8, and its bytes are lost."
                .to_owned(),
        );
    }
    if let Some(node) = JsonNode::read(body) {
        if is_sorted(&node) {
            hints.push(
                "All members are in alphabetical order: a program may have sorted them, so that \
                 the signed order is lost."
                    .to_owned(),
            );
        }
        if has_whole_numbers_only(&node) {
            hints.push(
                "Every number is whole. A program that parses and re-serialises JSON turns `10.0` \
                 into `10` and `9.90` into `9.9`, which does not verify."
                    .to_owned(),
            );
        }
    }
    hints
}

fn is_sorted(node: &JsonNode<'_>) -> bool {
    fn all(node: &JsonNode<'_>) -> bool {
        match node {
            JsonNode::Object(members) => {
                members.is_sorted_by(|(one, _), (other, _)| one <= other)
                    && members.iter().all(|(_, member)| all(member))
            }
            JsonNode::Array(elements) => elements.iter().all(all),
            JsonNode::Text(_) | JsonNode::Raw(_) => true,
        }
    }
    fn most(node: &JsonNode<'_>) -> usize {
        match node {
            JsonNode::Object(members) => {
                members.iter().map(|(_, member)| most(member)).fold(members.len(), usize::max)
            }
            JsonNode::Array(elements) => elements.iter().map(most).max().unwrap_or(0),
            JsonNode::Text(_) | JsonNode::Raw(_) => 0,
        }
    }
    most(node) >= TELLING_MEMBERS && all(node)
}

/// Whether there are numbers, and none of them has a fraction.
fn has_whole_numbers_only(node: &JsonNode<'_>) -> bool {
    fn numbers<'n>(node: &'n JsonNode<'n>, found: &mut Vec<&'n str>) {
        match node {
            JsonNode::Object(members) => {
                for (_, member) in members {
                    numbers(member, found);
                }
            }
            JsonNode::Array(elements) => {
                for element in elements {
                    numbers(element, found);
                }
            }
            JsonNode::Raw(raw) if raw.starts_with(|c: char| c == '-' || c.is_ascii_digit()) => {
                found.push(raw);
            }
            JsonNode::Text(_) | JsonNode::Raw(_) => {}
        }
    }
    let mut found = Vec::new();
    numbers(node, &mut found);
    !found.is_empty() && found.iter().all(|number| !number.contains(['.', 'e', 'E']))
}
