//! Joins the page's modules into one file for each script of index.html: browsers fetch few files faster than many.
//!
//! Each module becomes a function that returns what it exports. That is enough for modules that import each other by
//! name, one import a line, and not in a circle; anything else fails the build. No minifier belongs here: only comments
//! are left out, which are a third of the files.

use std::path::Path;

/// The scripts of a page, one after another; a later one imports the modules that an earlier one contains.
pub struct Bundles<Source> {
    source: Source,
    /// Each bundled module and the file that contains it; its position is its number.
    modules: Vec<(String, Option<String>)>,
    /// Those that are being bundled, the script first.
    open: Vec<String>,
}

impl<Source: Fn(&str) -> Result<String, String>> Bundles<Source> {
    /// `source` reads a module.
    pub fn new(source: Source) -> Self {
        Self { source, modules: Vec::new(), open: Vec::new() }
    }

    /// The script with those of its modules that no earlier bundle contains. It exports what the script does.
    ///
    /// # Errors
    ///
    /// If a module cannot be read or bundled.
    pub fn bundle(&mut self, script: &str) -> Result<String, String> {
        let mut body = String::new();
        let number = self.add(script, &mut body)?;
        let mut head = String::new();
        let (mut local, mut files): (Vec<usize>, Vec<&str>) = (Vec::new(), Vec::new());
        for (module, (_, file)) in self.modules.iter().enumerate() {
            match file {
                Some(file) if !files.contains(&file.as_str()) => files.push(file),
                Some(_) => {}
                None => local.push(module),
            }
        }
        for file in files {
            let inside =
                |(module, (_, at)): (usize, &(String, Option<String>))| (at.as_deref() == Some(file)).then_some(module);
            let inside: Vec<usize> = self.modules.iter().enumerate().filter_map(inside).collect();
            head += &format!("import {{ {} }} from './{file}';\n", names(&inside));
        }
        let exported = exports(&(self.source)(script)?);
        if !exported.is_empty() {
            body += &format!("export const {{ {} }} = module{number};\n", exported.join(", "));
        }
        Ok(format!("{head}{body}export {{ {} }};\n", names(&local)))
    }

    /// The file that contains the modules bundled since the last call.
    pub fn finish(&mut self, file: &str) {
        for (_, at) in &mut self.modules {
            at.get_or_insert_with(|| file.to_owned());
        }
    }

    /// Appends a module after those that it imports, unless it is bundled already; returns its number.
    fn add(&mut self, path: &str, body: &mut String) -> Result<usize, String> {
        if let Some(number) = self.modules.iter().position(|(module, _)| module == path) {
            return Ok(number);
        }
        if self.open.iter().any(|module| module == path) {
            return Err(format!(
                "web/{path} imports itself through {}; move what both need to a third module",
                self.open.join(", ")
            ));
        }
        self.open.push(path.to_owned());
        let source = strip_comments(&(self.source)(path)?);
        let mut text = String::new();
        for line in source.lines() {
            if let Some(import) = line.strip_prefix("import ") {
                let unreadable =
                    || format!("web/{path}: {line}: write imports as `import {{ name }} from './module.js';`");
                let (what, from) = import.split_once(" from '").ok_or_else(unreadable)?;
                let import = from.strip_suffix("';").ok_or_else(unreadable)?;
                let number = self.add(&resolve(path, import), body)?;
                let what =
                    if what.starts_with('{') { what.replace(" as ", ": ") } else { format!("{{ default: {what} }}") };
                text += &format!("const {what} = module{number};\n");
            } else if !line.starts_with("export default ") && !line.starts_with("export {") {
                text += line.strip_prefix("export ").unwrap_or(line);
                text.push('\n');
            }
        }
        let default = source.lines().find_map(|line| line.strip_prefix("export default ")?.strip_suffix(';'));
        let default = default.map(|name| format!("default: {name}"));
        let all: Vec<String> = exports(&source).into_iter().chain(default).collect();
        self.open.pop();
        let number = self.modules.len();
        self.modules.push((path.to_owned(), None));
        *body += &format!("const module{number} = (() => {{\n{text}return {{ {} }};\n}})();\n", all.join(", "));
        Ok(number)
    }
}

/// What a module exports by name.
fn exports(source: &str) -> Vec<String> {
    let mut names = Vec::new();
    for line in source.lines().filter_map(|line| line.strip_prefix("export ")) {
        if let Some(list) = line.strip_prefix("{ ") {
            names.extend(list.trim_end_matches(" };").split(", ").map(str::to_owned));
        }
        let line = line.strip_prefix("async ").unwrap_or(line);
        for keyword in ["class ", "function ", "const "] {
            let Some(declared) = line.strip_prefix(keyword) else { continue };
            names.push(declared.chars().take_while(|&c| c.is_alphanumeric() || c == '_').collect());
        }
    }
    names
}

/// The names of modules in a bundle.
fn names(modules: &[usize]) -> String {
    modules.iter().map(|number| format!("module{number}")).collect::<Vec<_>>().join(", ")
}

/// The source without the comments that lines start with, and without empty lines.
pub fn strip_comments(source: &str) -> String {
    let mut text = String::new();
    let mut inside = false;
    for line in source.lines() {
        let mut rest = line;
        while inside || rest.trim_start().starts_with("/*") {
            match rest.split_once("*/") {
                Some((_, after)) => (inside, rest) = (false, after),
                None => (inside, rest) = (true, ""),
            }
            if inside {
                break;
            }
        }
        if !rest.trim().is_empty() && !rest.trim_start().starts_with("//") {
            text += rest;
            text.push('\n');
        }
    }
    text
}

/// The path below `web/` of a module that another one imports as `./name.js` or `../name.js`.
fn resolve(importer: &str, import: &str) -> String {
    let mut path = Path::new(importer).parent().map(Path::to_path_buf).unwrap_or_default();
    for part in import.split('/') {
        match part {
            "." => {}
            ".." => _ = path.pop(),
            name => path.push(name),
        }
    }
    path.to_string_lossy().into_owned()
}
