//! Embeds the files of `web/`, and refuses to build where the result would be slow in silence.
//!
//! Nothing is listed by hand: a file that is added to `web/` is served, and a module that the page imports is preloaded.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio, exit};
use std::{env, fs};

/// Where the page's generated `modulepreload` links go in index.html.
const PRELOADS: &str = "<!-- modulepreload -->";

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=web");
    // Cargo does not see programs come and go; the search path is the closest it can watch.
    println!("cargo::rerun-if-env-changed=PATH");
    if let Err(message) = embed_page() {
        println!("cargo::error={message}");
        exit(1);
    }
    require_nasm();
}

/// Writes `assets.rs` (path, media type and content of every file of the page) and index.html with its preloads.
fn embed_page() -> Result<(), String> {
    let variable = |name| env::var(name).map(PathBuf::from).map_err(|error| format!("{name}: {error}"));
    let web = variable("CARGO_MANIFEST_DIR")?.join("web");
    let out = variable("OUT_DIR")?;
    let index = out.join("index.html");
    let page = read(&web.join("index.html"))?;
    write(&index, &page.replacen(PRELOADS, &preloads(&web, &page)?, 1))?;

    let mut files = Vec::new();
    list(&web, &mut files)?;
    files.sort();
    let mut rows = String::new();
    for file in files {
        let name = file.strip_prefix(&web).unwrap_or(&file).to_string_lossy().into_owned();
        let media_type = match file.extension().and_then(|extension| extension.to_str()) {
            Some("html") => "text/html; charset=utf-8",
            Some("css") => "text/css; charset=utf-8",
            Some("js") => "text/javascript; charset=utf-8",
            Some("svg") => "image/svg+xml",
            _ => return Err(format!("web/{name}: no media type is known for this extension; add it to build.rs")),
        };
        let (path, content) = if name == "index.html" { ("", &index) } else { (name.as_str(), &file) };
        rows += &format!("({path:?}, {media_type:?}, include_bytes!({content:?}).as_slice()),\n");
    }
    write(&out.join("assets.rs"), &format!("&[\n{rows}]\n"))
}

/// The files below a folder, but for hidden ones and the README's screenshots.
fn list(folder: &Path, files: &mut Vec<PathBuf>) -> Result<(), String> {
    for entry in fs::read_dir(folder).map_err(|error| format!("{}: {error}", folder.display()))?.flatten() {
        let (path, name) = (entry.path(), entry.file_name());
        if name == "screenshots" || name.to_string_lossy().starts_with('.') {
            continue;
        }
        if path.is_dir() { list(&path, files)? } else { files.push(path) }
    }
    Ok(())
}

/// A link for every module that the page's scripts import, first those of the first script: browsers fetch them all at once,
/// where modules found one after another would cost a round trip each.
fn preloads(web: &Path, page: &str) -> Result<String, String> {
    let mut modules: Vec<PathBuf> = Vec::new();
    let scripts: Vec<PathBuf> = page
        .split("<script type=\"module\" src=\"")
        .skip(1)
        .filter_map(|rest| rest.split('"').next())
        .map(PathBuf::from)
        .collect();
    for script in &scripts {
        let mut next = vec![script.clone()];
        while let Some(module) = next.pop() {
            for import in imports(&read(&web.join(&module))?) {
                let import = resolve(&module, import);
                if !modules.contains(&import) && !scripts.contains(&import) {
                    modules.push(import.clone());
                    next.push(import);
                }
            }
        }
    }
    let links = modules.iter().map(|module| format!("<link rel=\"modulepreload\" href=\"{}\">", module.display()));
    Ok(links.collect::<Vec<_>>().join("\n    "))
}

/// The modules that a module's source imports; each import stands on one line.
fn imports(source: &str) -> impl Iterator<Item = &str> {
    source
        .lines()
        .filter(|line| line.starts_with("import ") || line.starts_with("export "))
        .filter_map(|line| line.split_once(" from '")?.1.split('\'').next())
}

/// The path below `web/` of a module that another one imports as `./name.js` or `../name.js`.
fn resolve(importer: &Path, import: &str) -> PathBuf {
    let mut path = importer.parent().map(Path::to_path_buf).unwrap_or_default();
    for part in import.split('/') {
        match part {
            "." => {}
            ".." => _ = path.pop(),
            name => path.push(name),
        }
    }
    path
}

fn read(path: &Path) -> Result<String, String> {
    fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))
}

fn write(path: &Path, text: &str) -> Result<(), String> {
    fs::write(path, text).map_err(|error| format!("{}: {error}", path.display()))
}

/// Without nasm, dependencies leave out their assembly in silence.
fn require_nasm() {
    // On other processors the encoder's and the JPEG decoder's assembly needs no more than the C compiler.
    let arch = env::var("CARGO_CFG_TARGET_ARCH").unwrap_or_default();
    if !matches!(arch.as_str(), "x86" | "x86_64") {
        return;
    }
    let nasm = Command::new("nasm").arg("-v").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
    if nasm.is_ok_and(|status| status.success()) {
        return;
    }
    for line in [
        "nasm is not in PATH: the H.264 encoder and the JPEG decoder would leave out their assembly, and encoding \
         would take 2.5 times as long",
        "install it (Debian, Ubuntu, Raspberry Pi OS: apt install nasm; Fedora: dnf install nasm), then rebuild what was \
         built without it: cargo clean -p openh264-sys2 -p turbojpeg-sys",
    ] {
        println!("cargo::error={line}");
    }
    exit(1);
}
