//! A parsed source file: its module, its public types, the paths it names, the macros it calls, its `unsafe`.
//!
//! The text is split into Rust tokens, so comments, strings and formatting make no difference, and code inside macro
//! arguments counts. What is allowed does not belong here.

use std::collections::HashSet;
use std::fs;
use std::path::Path;

use proc_macro2::{Delimiter, Group, Ident, TokenStream, TokenTree};

/// One file below `src`.
pub struct Source {
    /// Its path from the repository's root, such as `src/capture/camera/mod.rs`.
    pub path: String,
    /// Its text.
    pub text: String,
    /// Its module path: `["camera", "v4l2"]`; empty for `lib.rs`.
    pub module: Vec<String>,
    /// The paths it names; a `use` gives one for each name.
    pub paths: Vec<Named>,
    /// The types and traits it defines with any `pub`; each is one segment.
    pub public_types: Vec<Named>,
    /// The macros it calls.
    pub macros: Vec<Named>,
    /// Where `unsafe` occurs.
    pub unsafes: Vec<Named>,
    /// Names that refer to items of the crate itself or were imported.
    locals: HashSet<String>,
}

/// A name in a file.
#[derive(Clone)]
pub struct Named {
    /// `["crate", "media", "RawFrame"]`.
    pub segments: Vec<String>,
    /// Its line, counted from 1.
    pub line: usize,
    /// Whether it is in code compiled only for tests.
    pub test: bool,
    /// Whether `()` follows.
    pub called_without_arguments: bool,
    /// The enclosing module, inline modules included.
    module: Vec<String>,
    /// Whether it begins with `::`.
    absolute: bool,
}

impl Source {
    /// Parses a file. `path` gives the module.
    pub fn new(path: &str, text: &str) -> Self {
        let inner = path.strip_prefix("src/").unwrap_or(path).trim_end_matches(".rs");
        let inner = inner.strip_suffix("/mod").unwrap_or(inner);
        let module = if inner == "lib" { Vec::new() } else { inner.split('/').map(String::from).collect() };
        let mut source = Self {
            path: path.into(),
            text: text.into(),
            module: module.clone(),
            paths: Vec::new(),
            public_types: Vec::new(),
            macros: Vec::new(),
            unsafes: Vec::new(),
            locals: HashSet::new(),
        };
        let tokens: TokenStream = text.parse().unwrap_or_else(|error| panic!("{path} should be Rust: {error}"));
        let test = path.ends_with("/tests.rs") || path.contains("/tests/");
        source.walk(tokens, &module, test);
        source
    }

    /// Every file below `src`, build script included.
    pub fn all(root: &Path) -> Vec<Self> {
        let files = files(&root.join("src"), "rs");
        let mut sources: Vec<Self> = files
            .iter()
            .map(|file| {
                let path = file.strip_prefix(root).expect("the file should be below the root");
                Self::new(&path.to_string_lossy(), &fs::read_to_string(file).expect("the sources should be readable"))
            })
            .collect();
        // `use super::*` imports the names of the parent.
        for index in 0..sources.len() {
            let source = &sources[index];
            let glob = source.paths.iter().any(|path| path.segments == ["super", "*"] && path.module == source.module);
            let parent = source.module.split_last().map(|(_, parent)| parent.to_vec());
            let names = sources.iter().find(|other| glob && Some(&other.module) == parent.as_ref());
            let names: Vec<String> = names.into_iter().flat_map(|parent| parent.locals.clone()).collect();
            sources[index].locals.extend(names);
        }
        sources
    }

    /// The module that a path leads to inside the crate: empty for the root, `None` when it leads outside or to a name
    /// of the file.
    pub fn target(&self, path: &Named) -> Option<Vec<String>> {
        match path.segments.first()?.as_str() {
            "crate" | "porthole" => Some(path.segments[1..].to_vec()),
            "super" => {
                let ups = path.segments.iter().take_while(|segment| *segment == "super").count();
                let kept = path.module.len().checked_sub(ups)?;
                Some([&path.module[..kept], &path.segments[ups..]].concat())
            }
            _ => None,
        }
    }

    /// The foreign crate that a path leads to.
    pub fn foreign<'p>(&self, path: &'p Named) -> Option<&'p str> {
        let first = path.segments.first()?;
        let own = matches!(first.as_str(), "crate" | "porthole" | "super" | "self" | "Self");
        let local = self.locals.contains(first) && !path.absolute && path.segments.len() > 1;
        (!own && !local).then_some(first.as_str())
    }

    fn walk(&mut self, tokens: TokenStream, module: &[String], test: bool) {
        let tokens: Vec<TokenTree> = tokens.into_iter().collect();
        // Set by `#[cfg(test)]`, for the item that follows.
        let mut test_item = false;
        let mut at = 0;
        while at < tokens.len() {
            let testing = test || test_item;
            match &tokens[at] {
                TokenTree::Group(group) => {
                    let attribute = at > 0 && matches!(&tokens[at - 1], TokenTree::Punct(p) if p.as_char() == '#');
                    if attribute && group.stream().to_string().replace(' ', "") == "cfg(test)" {
                        test_item = true;
                    }
                    let inner = self.inline_module(&tokens[..at], group, module);
                    self.walk(group.stream(), &inner, testing);
                    if group.delimiter() == Delimiter::Brace {
                        test_item = false;
                    }
                    at += 1;
                }
                TokenTree::Punct(punct) => {
                    if punct.as_char() == ';' {
                        test_item = false;
                    }
                    at += 1;
                }
                TokenTree::Ident(ident) if ident == "use" => {
                    let end = tokens[at..].iter().position(|t| is_punct(t, ';')).map_or(tokens.len(), |end| at + end);
                    self.read_use(&tokens[at + 1..end], &[], module, testing);
                    at = end;
                }
                TokenTree::Ident(keyword) if defines_type(keyword) && is_public(&tokens[..at]) => {
                    self.public_types.extend(tokens.get(at + 1).map(|name| Named {
                        segments: vec![name.to_string()],
                        line: name.span().start().line,
                        test: testing,
                        called_without_arguments: false,
                        module: module.to_vec(),
                        absolute: false,
                    }));
                    at += 1;
                }
                TokenTree::Ident(_) => at = self.read_path(&tokens, at, module, testing),
                TokenTree::Literal(_) => at += 1,
            }
        }
    }

    /// The module inside a group: one deeper after `mod name`.
    fn inline_module(&self, before: &[TokenTree], group: &Group, module: &[String]) -> Vec<String> {
        let mut module = module.to_vec();
        if let [.., TokenTree::Ident(keyword), TokenTree::Ident(name)] = before
            && keyword == "mod"
            && group.delimiter() == Delimiter::Brace
        {
            module.push(name.to_string());
        }
        module
    }

    /// Reads the path, macro call or keyword at `at`; returns the position after it.
    fn read_path(&mut self, tokens: &[TokenTree], at: usize, module: &[String], test: bool) -> usize {
        let line = tokens[at].span().start().line;
        let before = at.checked_sub(1).map(|before| &tokens[before]);
        if matches!(before, Some(TokenTree::Ident(keyword)) if keyword == "mod") {
            self.locals.insert(tokens[at].to_string());
        }
        let absolute = at >= 2
            && is_separator(tokens, at - 2)
            && !matches!(at.checked_sub(3).map(|b| &tokens[b]), Some(t) if is_punct(t, '>') || matches!(t, TokenTree::Ident(_)));
        let after_type = at >= 2 && is_separator(tokens, at - 2) && !absolute;

        let mut segments = vec![tokens[at].to_string()];
        let mut end = at + 1;
        while is_separator(tokens, end)
            && let Some(TokenTree::Ident(next)) = tokens.get(end + 2)
        {
            segments.push(next.to_string());
            end += 3;
        }
        let called_without_arguments = matches!(tokens.get(end), Some(TokenTree::Group(group))
            if group.delimiter() == Delimiter::Parenthesis && group.stream().is_empty());
        let is_macro = tokens.get(end).is_some_and(|t| is_punct(t, '!'))
            && matches!(tokens.get(end + 1), Some(TokenTree::Group(_)));
        let is_path = segments.len() > 1 || absolute;
        let named = Named { segments, line, test, called_without_arguments, module: module.to_vec(), absolute };
        if named.segments == ["unsafe"] {
            self.unsafes.push(named);
            return end;
        }
        if is_macro {
            self.macros.push(named.clone());
        }
        if is_path && !after_type {
            self.paths.push(named);
        }
        end
    }

    /// Reads the tree between `use` and `;`, or a part of it in braces.
    fn read_use(&mut self, tokens: &[TokenTree], prefix: &[String], module: &[String], test: bool) {
        for tree in tokens.split(|token| is_punct(token, ',')) {
            let Some(first) = tree.first() else { continue };
            let mut segments = prefix.to_vec();
            let mut alias = None;
            let mut renamed = false;
            for token in tree {
                match token {
                    TokenTree::Ident(ident) if ident == "as" => renamed = true,
                    TokenTree::Ident(ident) if renamed => alias = Some(ident.to_string()),
                    TokenTree::Ident(ident) => segments.push(ident.to_string()),
                    TokenTree::Punct(punct) if punct.as_char() == '*' => segments.push("*".into()),
                    TokenTree::Group(group) => {
                        let inner: Vec<TokenTree> = group.stream().into_iter().collect();
                        self.read_use(&inner, &segments, module, test);
                        segments.clear();
                    }
                    _ => {}
                }
            }
            if segments.len() > prefix.len() {
                // An imported name does not hide the crate of that name.
                let ours = ["crate", "super", "self", "porthole", "std"];
                if ours.contains(&segments[0].as_str()) || self.locals.contains(&segments[0]) {
                    // `use a::b::{self}` imports `b`.
                    let brought = segments.iter().rev().find(|segment| *segment != "self").cloned();
                    self.locals.extend(alias.or(brought));
                }
                let line = first.span().start().line;
                let absolute = is_punct(first, ':');
                let module = module.to_vec();
                self.paths.push(Named { segments, line, test, called_without_arguments: false, module, absolute });
            }
        }
    }
}

/// All files with the extension in a folder and below, sorted.
pub fn files(folder: &Path, extension: &str) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten() {
        let path = entry.expect("the sources should be readable").path();
        if path.is_dir() && path.file_name().is_none_or(|name| name != "node_modules") {
            found.extend(files(&path, extension));
        } else if path.extension().is_some_and(|found| found == extension) {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// Whether a keyword begins the definition of a type or a trait.
fn defines_type(keyword: &Ident) -> bool {
    ["struct", "enum", "union", "trait", "type"].iter().any(|known| keyword == known)
}

/// Whether the tokens before a definition end in `pub` or `pub(...)`.
fn is_public(before: &[TokenTree]) -> bool {
    let is = |token: &TokenTree, name: &str| matches!(token, TokenTree::Ident(ident) if ident == name);
    let restriction =
        |token: &TokenTree| matches!(token, TokenTree::Group(group) if group.delimiter() == Delimiter::Parenthesis);
    let mut tokens = before.iter().rev().skip_while(|token| is(token, "unsafe")).skip_while(|token| restriction(token));
    tokens.next().is_some_and(|token| is(token, "pub"))
}

fn is_punct(token: &TokenTree, c: char) -> bool {
    matches!(token, TokenTree::Punct(punct) if punct.as_char() == c)
}

/// Whether `::` is at a position.
fn is_separator(tokens: &[TokenTree], at: usize) -> bool {
    matches!(tokens.get(at..at + 2), Some([a, b]) if is_punct(a, ':') && is_punct(b, ':'))
}
