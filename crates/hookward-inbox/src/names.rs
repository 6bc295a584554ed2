//! Names of sources and destinations, each stored once.

use std::collections::HashMap;
use std::sync::Arc;

#[derive(Debug, Default)]
pub(crate) struct NameTable {
    numbers: HashMap<Arc<str>, u16>,
    names: Vec<Arc<str>>,
}

impl NameTable {
    /// The number of a name. `None` if 65,535 others are known: they come from a configuration.
    pub(crate) fn intern(&mut self, name: &str) -> Option<u16> {
        if let Some(number) = self.numbers.get(name) {
            return Some(*number);
        }
        let number = u16::try_from(self.names.len()).ok()?;
        let name: Arc<str> = name.into();
        self.names.push(Arc::clone(&name));
        self.numbers.insert(name, number);
        Some(number)
    }

    pub(crate) fn number(&self, name: &str) -> Option<u16> {
        self.numbers.get(name).copied()
    }

    pub(crate) fn name(&self, number: u16) -> Arc<str> {
        self.names.get(usize::from(number)).map_or_else(|| "".into(), Arc::clone)
    }

    pub(crate) fn len(&self) -> usize {
        self.names.len()
    }
}
