//! Takes a Markdown text apart: code blocks with their commands, code in sentences, links and the anchors of headings.
//!
//! Only the Markdown that the documents use is understood.

use std::collections::BTreeSet;

/// A fenced code block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    /// Its language; empty where it has none.
    pub language: String,
    /// Its lines, without the indentation that they share with the fence.
    pub text: String,
    /// The line of its fence, counted from 1.
    pub line: usize,
    /// The file that the comment `<!-- file: NAME -->` before it names.
    pub file: Option<String>,
}

/// A command to type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    /// The command on one line, without a comment.
    pub text: String,
    /// What it prints, if the document shows that.
    pub output: Option<String>,
}

/// The code blocks of a text.
pub fn blocks(markdown: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut open: Option<(usize, Block)> = None;
    let mut file = None;
    for (number, line) in markdown.lines().enumerate() {
        let indent = line.len() - line.trim_start().len();
        match (line.trim_start().strip_prefix("```"), &mut open) {
            (Some(_), Some(_)) => blocks.extend(open.take().map(|(_, block)| block)),
            (Some(language), None) => {
                let language = language.trim().to_owned();
                open = Some((indent, Block { language, text: String::new(), line: number + 1, file: file.take() }));
            }
            (None, Some((fence, block))) => {
                block.text.push_str(line.get((*fence).min(indent)..).unwrap_or_default());
                block.text.push('\n');
            }
            (None, None) if line.trim().is_empty() => {}
            (None, None) => {
                let name = line.trim().strip_prefix("<!-- file: ").and_then(|rest| rest.strip_suffix(" -->"));
                file = name.map(str::to_owned);
            }
        }
    }
    assert!(open.is_none(), "a code block is not closed: {open:?}");
    blocks
}

impl Block {
    /// The commands of a block in the language `sh`, each on lines of its own, or `console`, each after `$` with its output below.
    pub fn commands(&self) -> Vec<Command> {
        let mut commands: Vec<Command> = Vec::new();
        // A line that ends with a backslash goes on.
        for line in self.text.replace("\\\n", " ").lines() {
            let (command, output) = match (self.language.as_str(), line.strip_prefix("$ ")) {
                ("sh", _) => (line, None),
                ("console", Some(command)) => (command, Some(String::new())),
                ("console", None) => {
                    let shown = commands.last_mut().and_then(|command| command.output.as_mut());
                    shown.unwrap_or_else(|| panic!("output without a command: {line}")).push_str(&format!("{line}\n"));
                    continue;
                }
                _ => return commands,
            };
            let text = without_comment(command).split_whitespace().collect::<Vec<_>>().join(" ");
            if !text.is_empty() {
                commands.push(Command { text, output });
            }
        }
        commands
    }
}

/// A line of the shell without its comment: from a `#` at the beginning of a word that is not in quotes.
fn without_comment(line: &str) -> &str {
    let mut quote = None;
    let mut before = ' ';
    for (at, c) in line.char_indices() {
        match quote {
            Some(open) if c == open => quote = None,
            Some(_) => {}
            None if c == '\'' || c == '"' => quote = Some(c),
            None if c == '#' && before.is_whitespace() => return &line[..at],
            None => {}
        }
        before = c;
    }
    line
}

/// A text without its code blocks.
fn prose(markdown: &str) -> String {
    let mut inside = false;
    let mut prose = String::new();
    for line in markdown.lines() {
        let fence = line.trim_start().starts_with("```");
        if !fence && !inside {
            prose.push_str(line);
            prose.push('\n');
        }
        inside ^= fence;
    }
    prose
}

/// The code in the sentences of a text.
pub fn inline_code(markdown: &str) -> Vec<String> {
    // A sentence may break a line within code.
    let text = prose(markdown);
    let paragraphs = text.split("\n\n").flat_map(|paragraph| paragraph.split('`').skip(1).step_by(2));
    paragraphs.map(|code| code.split_whitespace().collect::<Vec<_>>().join(" ")).collect()
}

/// The targets of a text's links and images.
pub fn links(markdown: &str) -> Vec<String> {
    let text = prose(markdown);
    let of = |begin: &str, end: char| -> Vec<String> {
        text.split(begin).skip(1).filter_map(|rest| Some(rest.split_once(end)?.0.to_owned())).collect()
    };
    [of("](", ')'), of("src=\"", '"')].concat()
}

/// The anchors of a text's headings, as GitHub and others make them.
pub fn anchors(markdown: &str) -> BTreeSet<String> {
    let mut anchors = BTreeSet::new();
    for line in prose(markdown).lines().filter(|line| line.starts_with('#')) {
        let title = line.trim_start_matches('#').trim().to_lowercase();
        let kept = title.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
        let anchor: String = kept.map(|c| if c == ' ' { '-' } else { c }).collect();
        let numbered = (1..).map(|number| format!("{anchor}-{number}"));
        let free = std::iter::once(anchor.clone()).chain(numbered).find(|anchor| !anchors.contains(anchor));
        anchors.extend(free);
    }
    anchors
}

#[test]
fn commands_are_found_in_blocks() {
    let markdown = "Type `make nothing`.\n```sh\nmake run ARGS=\"--camera #1\" # it runs\n\n# only a comment\ncd a && make \\\n  \
                    test\n```\n- In a list:\n  <!-- file: a.toml -->\n\n  ```console\n  $ porthole devices | head  # some\n  LEDs\n    \
                    none\n  $ true\n  ```\n```toml\nx = 1\n```\n";
    let blocks = blocks(markdown);
    let lines: Vec<_> =
        blocks.iter().map(|block| (block.language.as_str(), block.line, block.file.as_deref())).collect();
    assert_eq!(lines, [("sh", 2, None), ("console", 12, Some("a.toml")), ("toml", 18, None)]);
    let commands: Vec<_> = blocks.iter().flat_map(Block::commands).collect();
    let command = |text: &str, output: Option<&str>| Command { text: text.into(), output: output.map(str::to_owned) };
    assert_eq!(
        commands,
        [
            command("make run ARGS=\"--camera #1\"", None),
            command("cd a && make test", None),
            command("porthole devices | head", Some("LEDs\n  none\n")),
            command("true", Some("")),
        ]
    );
}

#[test]
fn links_code_and_anchors_are_found_in_sentences() {
    let markdown = "# A b, `c`\n[x](y.md#z) and `porthole\ndevices` <img src=\"p.png\">\n```sh\n`no` [no](no)\n```\n## Which Pi, which size?\n\
                    ## a b c\n";
    assert_eq!(links(markdown), ["y.md#z", "p.png"]);
    assert_eq!(inline_code(markdown), ["c", "porthole devices"]);
    let expected = ["a-b-c", "which-pi-which-size", "a-b-c-1"];
    assert_eq!(anchors(markdown), expected.into_iter().map(str::to_owned).collect());
}
