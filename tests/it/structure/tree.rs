//! The source files of the workspace: their text without comments and tests, and their
//! dependencies.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// One source file of a crate.
pub struct Source {
    /// Its path from the root of the repository.
    pub name: String,
    /// Its module path within the crate; empty for the root.
    pub module: Vec<String>,
    /// Its whole text.
    pub text: String,
}

impl Source {
    /// Whether the file is there for tests only.
    pub fn is_for_tests(&self) -> bool {
        let of_tests = |part: &str| {
            ["tests", "testing", "fixture", "races"].contains(&part.trim_end_matches(".rs"))
        };
        self.name.split('/').any(of_tests)
    }

    /// The code without comments and without the tests at its end.
    pub fn code(&self) -> String {
        let before = self.text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
        let is_code = |line: &&str| !line.trim_start().starts_with("//");
        before.lines().filter(is_code).collect::<Vec<_>>().join("\n")
    }
}

/// A crate of the workspace: where its sources are, and the sources.
pub struct Krate {
    pub folder: String,
    pub sources: Vec<Source>,
}

pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// All crates of the workspace.
pub fn crates() -> Vec<Krate> {
    let mut folders = vec!["src".to_owned()];
    for entry in std::fs::read_dir(root().join("crates")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        folders.push(format!("crates/{name}/src"));
    }
    folders.sort();
    folders.into_iter().map(|folder| Krate { sources: sources(&folder), folder }).collect()
}

fn sources(folder: &str) -> Vec<Source> {
    let base = root().join(folder);
    let mut found = Vec::new();
    let mut open: Vec<PathBuf> = vec![base.clone()];
    while let Some(directory) = open.pop() {
        for entry in std::fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let inside = path.strip_prefix(&base).unwrap().to_str().unwrap();
                let mut module: Vec<String> =
                    inside.trim_end_matches(".rs").split('/').map(str::to_owned).collect();
                if matches!(module.last().map(String::as_str), Some("mod" | "lib" | "main")) {
                    module.pop();
                }
                let text = std::fs::read_to_string(&path).unwrap();
                found.push(Source { name: format!("{folder}/{inside}"), module, text });
            }
        }
    }
    found.sort_by(|one, other| one.name.cmp(&other.name));
    found
}

/// Every path that the code of a module names, from the root of its crate: of other modules, and of
/// its `children`. To hand on what a child has is no use of it.
fn paths(source: &Source, children: &[String]) -> Vec<Vec<String>> {
    let code = source.code();
    let mut paths = Vec::new();
    let below = children.iter().map(|child| format!("{child}::"));
    let starts = ["crate::", "super::", "self::"].map(str::to_owned);
    for start in starts.into_iter().chain(below) {
        for (at, _) in code.match_indices(&start) {
            let before = code[..at].chars().next_back();
            let begins = before.is_none_or(|c| !c.is_alphanumeric() && c != '_' && c != ':');
            let line = code[..at].rsplit('\n').next().unwrap_or_default().trim_start();
            let hands_on = line.starts_with("pub") && line.trim_end().ends_with("use");
            let is_above = start == "crate::" || start == "super::";
            if begins && (is_above || !hands_on) {
                expand(&code[at..], &mut Vec::new(), &mut |path| {
                    paths.extend(absolute(&source.module, path));
                });
            }
        }
    }
    paths
}

/// Calls `found` with each path of `a::b::{c, d::e}`; returns how many bytes belong to it.
fn expand(text: &str, prefix: &mut Vec<String>, found: &mut impl FnMut(&[String])) -> usize {
    let depth = prefix.len();
    let mut at = 0;
    loop {
        let rest = &text[at..];
        if rest.starts_with('{') {
            at += 1;
            while !text[at..].starts_with('}') && at < text.len() {
                let item = &text[at..];
                if item.starts_with([',', ' ', '\n']) {
                    at += 1;
                } else {
                    let used = expand(item, prefix, found);
                    at += used.max(1);
                }
            }
            prefix.truncate(depth);
            return (at + 1).min(text.len());
        }
        let length = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
        if length == 0 {
            break;
        }
        prefix.push(rest[..length].to_owned());
        at += length;
        if !text[at..].starts_with("::") {
            break;
        }
        at += 2;
    }
    found(prefix);
    prefix.truncate(depth);
    at
}

/// The path from the root of the crate that `path` is in `module`.
fn absolute(module: &[String], path: &[String]) -> Option<Vec<String>> {
    let (first, rest) = path.split_first()?;
    if first == "crate" {
        return Some(rest.to_vec());
    }
    let path = if first == "self" { rest } else { path };
    let ups = path.iter().take_while(|step| *step == "super").count();
    let mut whole = module.get(..module.len().checked_sub(ups)?)?.to_vec();
    whole.extend(path[ups..].iter().cloned());
    Some(whole)
}

/// The files of a crate with those that each names; a name that a module hands on from another file
/// is that other file's.
pub fn uses(krate: &Krate) -> BTreeMap<String, BTreeSet<String>> {
    let files: Vec<&Source> = krate.sources.iter().filter(|file| !file.is_for_tests()).collect();
    let handed_on: BTreeMap<&[String], Vec<Vec<String>>> =
        files.iter().map(|file| (file.module.as_slice(), hands_on(file))).collect();
    let owner = |path: &[String]| -> Option<&Source> {
        let mut path = path.to_vec();
        for _ in 0..8 {
            let file = files
                .iter()
                .filter(|file| path.starts_with(&file.module))
                .max_by_key(|file| file.module.len())?;
            let Some(name) = path.get(file.module.len()) else { return Some(file) };
            let from =
                handed_on[file.module.as_slice()].iter().find(|from| from.last() == Some(name));
            match from {
                Some(from) if *from != path => path = from.clone(),
                _ => return Some(file),
            }
        }
        None
    };
    let mut uses: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for file in &files {
        let is_child = |other: &&&Source| {
            other.module.split_last().is_some_and(|(_, above)| above == file.module)
        };
        let children: Vec<String> = files
            .iter()
            .filter(is_child)
            .filter_map(|child| child.module.last().cloned())
            .collect();
        let paths = paths(file, &children);
        let others = paths.iter().filter_map(|path| owner(path)).map(|used| used.name.clone());
        let entry = uses.entry(file.name.clone()).or_default();
        entry.extend(others.filter(|name| *name != file.name));
    }
    uses
}

/// What a module re-exports: `pub use child::Name`, as paths from the root of the crate.
fn hands_on(file: &Source) -> Vec<Vec<String>> {
    let mut all = Vec::new();
    let code = file.code();
    for (at, _) in code.match_indices("use ") {
        let line = code[..at].rsplit('\n').next().unwrap_or_default().trim();
        if !line.starts_with("pub") {
            continue;
        }
        expand(&code[at + 4..], &mut Vec::new(), &mut |path| {
            let known = matches!(path.first().map(String::as_str), Some("crate" | "super"));
            if known {
                all.extend(absolute(&file.module, path));
            } else {
                let mut whole = file.module.clone();
                whole.extend(path.iter().cloned());
                all.push(whole);
            }
        });
    }
    all
}

/// What remains when whatever needs nothing that is left is taken away: circles, and what leads to
/// one.
pub fn circles(mut uses: BTreeMap<String, BTreeSet<String>>) -> BTreeSet<String> {
    while let Some(lowest) = {
        let is_low = |used: &BTreeSet<String>| !used.iter().any(|used| uses.contains_key(used));
        uses.iter().find(|(_, used)| is_low(used)).map(|(file, _)| file.clone())
    } {
        uses.remove(&lowest);
    }
    // And what nothing that is left needs.
    loop {
        let needed: BTreeSet<String> = uses.values().flatten().cloned().collect();
        let before = uses.len();
        uses.retain(|file, _| needed.contains(file));
        if uses.len() == before {
            break;
        }
    }
    uses.into_keys().collect()
}
