//! Reads a TOML text key by key into fields that already hold their defaults.
//!
//! The reader collects all errors with their lines instead of stopping at the first, and keeps track of the keys that were
//! read: every other key of the text is an error too. Which keys exist does not belong here.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::ops::{Range, RangeInclusive};

use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue};

use super::errors::Errors;
use super::hints::hint;
use super::toml_value::{Number, setting_value, shorten};
use super::value::ValueParser;
use crate::capture::camera::Constraint;
use crate::model::inventory::Setting;
use crate::util::redact;
use crate::util::suggest::did_you_mean;

/// A parsed text and the errors found so far.
pub(super) struct Reader<'t> {
    text: &'t str,
    root: DeTable<'t>,
    /// Whether the syntax is so broken that the sections are unknown: other errors would be misleading then.
    damaged: bool,
    errors: RefCell<Errors>,
    known_keys: RefCell<BTreeSet<String>>,
}

impl<'t> Reader<'t> {
    /// Parses the text. Syntax errors are kept for [`finish`](Self::finish); what could be parsed is read all the same.
    pub(super) fn new(text: &'t str, file: &str) -> Self {
        let (root, syntax) = DeTable::parse_recoverable(text);
        let mut errors = Errors::new(file);
        let mut damaged = false;
        for error in syntax {
            let line = error.span().map(|span| line_of(text, span.start));
            // A broken or repeated header puts the keys below it into the wrong section.
            let content = line.and_then(|line| text.lines().nth(line - 1)).unwrap_or_default().trim_start();
            damaged |= content.starts_with('[');
            errors.add(line, error.message().replace('\n', " "));
        }
        let known_keys = RefCell::default();
        Self { text, root: root.into_inner(), damaged, errors: RefCell::new(errors), known_keys }
    }

    /// Reads the section `[name]`.
    pub(super) fn section(&self, name: &'static str, read: impl FnOnce(&mut ConfigSection<'_, 't>)) {
        self.known_keys.borrow_mut().insert(name.into());
        let found = self.root.get_key_value(name);
        let values = match found {
            Some((_, value)) => match value.get_ref() {
                DeValue::Table(table) => Some((table, value.span())),
                _ => {
                    let line = line_of(self.text, value.span().start);
                    let wrong = format!("not a section; write [{name}] on a line of its own and its keys below it");
                    self.report(line, format!("{name} = {}: {wrong}", self.source(value.span())));
                    None
                }
            },
            None => None,
        };
        self.read(name, name.into(), values, read);
    }

    /// Reads every section `[[name]]`, in the order of the file. The index counts from 0.
    pub(super) fn list(&self, name: &'static str, mut read: impl FnMut(&mut ConfigSection<'_, 't>)) {
        self.known_keys.borrow_mut().insert(name.into());
        let Some(value) = self.root.get(name) else { return };
        let DeValue::Array(items) = value.get_ref() else {
            let line = line_of(self.text, value.span().start);
            let wrong = format!("not a list; write [[{name}]] with two brackets, since there can be several");
            return self.report(line, format!("{name}: {wrong}"));
        };
        for (index, item) in items.iter().enumerate() {
            let path = format!("{name}[{index}]");
            match item.get_ref() {
                DeValue::Table(table) => self.read(name, path, Some((table, item.span())), &mut read),
                _ => {
                    let line = line_of(self.text, item.span().start);
                    let wrong = format!("not a section; write [[{name}]] on a line of its own and its keys below it");
                    self.report(line, format!("{path} = {}: {wrong}", self.source(item.span())));
                }
            }
        }
    }

    /// All keys that were read, as `section.key`, and all errors.
    pub(super) fn finish(self) -> (BTreeSet<String>, Errors) {
        let known_keys = self.known_keys.take();
        let sections: Vec<&str> = known_keys.iter().filter(|path| !path.contains('.')).map(String::as_str).collect();
        for (key, value) in &self.root {
            if !sections.contains(&key.get_ref().as_ref()) {
                self.report_unknown("", "", key, value, &sections);
            }
        }
        let keys = known_keys.iter().filter(|path| path.contains('.')).cloned().collect();
        (keys, self.errors.into_inner())
    }

    fn read(
        &self,
        name: &'static str,
        path: String,
        values: Option<(&DeTable<'t>, Range<usize>)>,
        read: impl FnOnce(&mut ConfigSection<'_, 't>),
    ) {
        let line = values.as_ref().map_or(1, |(_, span)| line_of(self.text, span.start));
        let table = values.map(|(table, _)| table);
        let mut section = ConfigSection { reader: self, name, path, line, table, known_keys: Vec::new() };
        read(&mut section);
        let ConfigSection { path, known_keys, .. } = section;
        for (key, value) in table.into_iter().flatten() {
            if !known_keys.contains(&key.get_ref().as_ref()) {
                self.report_unknown(name, &format!("{path}."), key, value, &known_keys);
            }
        }
    }

    fn report(&self, line: usize, message: String) {
        let mut errors = self.errors.borrow_mut();
        // After a syntax error on the line, the value is a guess of the parser.
        if !self.damaged && !errors.is_on(line) {
            errors.add(Some(line), message);
        }
    }

    fn report_unknown(
        &self,
        section: &str,
        path: &str,
        key: &Spanned<DeString<'t>>,
        value: &Spanned<DeValue<'t>>,
        known: &[&str],
    ) {
        let line = line_of(self.text, key.span().start);
        let name = shorten(key.get_ref());
        let near = did_you_mean(key.get_ref(), known);
        // A mistyped or foreign name does not make the value less secret.
        let names_secret = redact::is_secret(key.get_ref()) || near.is_some_and(redact::is_secret);
        // The address or the arguments there may be one, too.
        let is_secret = names_secret || matches!(section, "publish" | "hook" | "screen");
        let source = if is_secret { "***".into() } else { self.source(value.span()) };
        let right = match (hint(section, key.get_ref()), near) {
            (Some(hint), _) => hint.to_owned(),
            (None, Some(near)) => format!("did you mean {near}?"),
            (None, None) => format!("known here: {}", known.join(", ")),
        };
        let is_section = match value.get_ref() {
            DeValue::Table(_) => true,
            DeValue::Array(items) => items.iter().any(|item| item.get_ref().is_table()),
            _ => false,
        };
        self.report(
            line,
            if is_section {
                format!("{path}{name}: unknown section; {right}")
            } else {
                format!("{path}{name} = {source}: unknown key; {right}")
            },
        );
    }

    /// A value as written in the text, on one line.
    fn source(&self, span: Range<usize>) -> String {
        shorten(self.text.get(span).unwrap_or_default())
    }
}

/// One section of the text. A missing key leaves its field as it is.
pub(super) struct ConfigSection<'r, 't> {
    reader: &'r Reader<'t>,
    name: &'static str,
    /// Its name in messages: `http`, `camera[1]`.
    path: String,
    /// The line of its header.
    line: usize,
    table: Option<&'r DeTable<'t>>,
    known_keys: Vec<&'static str>,
}

impl ConfigSection<'_, '_> {
    /// Reads a whole number of `unit`s in `range`, in steps of `step`.
    pub(super) fn number<T: TryFrom<i64>>(
        &mut self,
        key: &'static str,
        field: &mut T,
        range: RangeInclusive<i64>,
        step: i64,
        unit: &str,
    ) {
        self.read(key, field, |value| Number { range, step, unit }.read(value));
    }

    /// Reads a constraint for a device: a number, which is exact, or a table of `min`, `ideal` and `max`.
    pub(super) fn constraint(
        &mut self,
        key: &'static str,
        field: &mut Constraint,
        range: RangeInclusive<i64>,
        step: i64,
        unit: &str,
    ) {
        self.read(key, field, |value| Number { range, step, unit }.constraint(value));
    }

    /// Reads a text in quotes.
    pub(super) fn text<T>(&mut self, key: &'static str, field: &mut T, kind: &ValueParser<T>) {
        self.read(key, field, |value| kind.read_value(value));
    }

    /// Reads a text in quotes that messages do not repeat.
    pub(super) fn secret<T>(&mut self, key: &'static str, field: &mut T, kind: &ValueParser<T>) {
        self.secret_value(key, field, |value| kind.read_value(value));
    }

    /// Reads a value with a syntax of its own that messages do not repeat.
    pub(super) fn secret_value<T>(
        &mut self,
        key: &'static str,
        field: &mut T,
        convert: impl FnOnce(&DeValue<'_>) -> Result<T, String>,
    ) {
        self.note_key(key);
        let Some(value) = self.table.and_then(|table| table.get(key)) else { return };
        match convert(value.get_ref()) {
            Ok(value) => *field = value,
            Err(wrong) => self.reject_secret(key, &wrong),
        }
    }

    /// Reads a list of texts in quotes.
    pub(super) fn texts<T>(&mut self, key: &'static str, field: &mut Vec<T>, kind: &ValueParser<T>) {
        self.read(key, field, |value| {
            let right = kind.right;
            let DeValue::Array(items) = value else { return Err(format!("not a list of texts in quotes; {right}")) };
            let read = |item: &Spanned<DeValue<'_>>| match item.get_ref().as_str() {
                Some(text) => kind.read(text).map_err(|wrong| format!("\"{}\" is {wrong}", shorten(text))),
                None => Err(format!("not a list of texts in quotes; {right}")),
            };
            items.iter().map(read).collect()
        });
    }

    /// Reads a value with a syntax of its own.
    pub(super) fn value<T>(
        &mut self,
        key: &'static str,
        field: &mut T,
        convert: fn(&DeValue<'_>) -> Result<T, String>,
    ) {
        self.read(key, field, convert);
    }

    /// Reads `true` or `false`.
    pub(super) fn flag(&mut self, key: &'static str, field: &mut bool) {
        self.read(key, field, |value| value.as_bool().ok_or_else(|| "not true or false".into()));
    }

    /// Reads a subsection whose keys are the names of controls.
    pub(super) fn settings(&mut self, key: &'static str, field: &mut Vec<Setting>) {
        self.note_key(key);
        let Some(found) = self.table.and_then(|table| table.get(key)) else { return };
        let DeValue::Table(table) = found.get_ref() else {
            let wrong =
                format!("not a section; write [{}.{key}] and below it a control and its value on each line", self.name);
            return self.reject(key, "", &wrong);
        };
        let mut entries: Vec<_> = table.iter().collect();
        // Controls are set in the order of the file, which a table does not keep.
        entries.sort_by_key(|(name, _)| name.span().start);
        for (name, value) in entries {
            match setting_value(value.get_ref()) {
                Ok(value) => field.push(Setting { control: name.get_ref().to_string(), value }),
                Err(wrong) => {
                    let line = line_of(self.reader.text, value.span().start);
                    let (path, name) = (&self.path, shorten(name.get_ref()));
                    let source = self.reader.source(value.span());
                    self.reader.report(line, format!("{path}.{key}.{name} = {source}: {wrong}"));
                }
            }
        }
    }

    /// Reads a subsection with keys of its own; `name` is its own name with that of this section, such as `camera.motion`.
    pub(super) fn section(
        &mut self,
        key: &'static str,
        name: &'static str,
        read: impl FnOnce(&mut ConfigSection<'_, '_>),
    ) {
        self.note_key(key);
        let found = self.table.and_then(|table| table.get(key));
        let values = found.and_then(|found| Some((found.get_ref().as_table()?, found.span())));
        if found.is_some() && values.is_none() {
            self.reject(key, "", &format!("not a section; write [{name}] on a line of its own and its keys below it"));
        }
        self.reader.read(name, format!("{}.{key}", self.path), values, read);
    }

    /// Its name in messages: `http`, `camera[1]`.
    pub(super) fn path(&self) -> &str {
        &self.path
    }

    /// Whether the section has a key.
    pub(super) fn has(&self, key: &str) -> bool {
        self.table.is_some_and(|table| table.contains_key(key))
    }

    /// Reports a value that is valid by itself but conflicts with others. `value` is the one in effect, for a file without the
    /// key.
    pub(super) fn reject(&self, key: &'static str, value: &str, wrong: &str) {
        let found = self.table.and_then(|table| table.get(key));
        let (line, value) = match found {
            Some(found) => (line_of(self.reader.text, found.span().start), self.reader.source(found.span())),
            None => (self.line, value.into()),
        };
        self.reader.report(line, format!("{}.{key} = {value}: {wrong}", self.path));
    }

    /// As [`reject`](Self::reject), of a value that messages do not repeat.
    pub(super) fn reject_secret(&self, key: &'static str, wrong: &str) {
        let found = self.table.and_then(|table| table.get(key));
        let line = found.map_or(self.line, |found| line_of(self.reader.text, found.span().start));
        self.reader.report(line, format!("{}.{key}: {wrong}", self.path));
    }

    /// Reports that a required key is missing.
    pub(super) fn missing(&self, key: &'static str, wrong: &str) {
        self.reader.report(self.line, format!("{}.{key}: missing{wrong}", self.path));
    }

    fn note_key(&mut self, key: &'static str) {
        self.known_keys.push(key);
        self.reader.known_keys.borrow_mut().insert(format!("{}.{key}", self.name));
    }

    fn read<T>(&mut self, key: &'static str, field: &mut T, convert: impl FnOnce(&DeValue<'_>) -> Result<T, String>) {
        self.note_key(key);
        let Some(value) = self.table.and_then(|table| table.get(key)) else { return };
        match convert(value.get_ref()) {
            Ok(value) => *field = value,
            Err(wrong) => self.reject(key, "", &wrong),
        }
    }
}

/// The line of an offset in the text, counted from 1.
fn line_of(text: &str, offset: usize) -> usize {
    1 + text.bytes().take(offset).filter(|byte| *byte == b'\n').count()
}
