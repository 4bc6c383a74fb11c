//! Embeds the files of `web/`, and refuses to build where the result would be slow in silence.
//!
//! Nothing is listed by hand: a file that is added to `web/` is served under its name, for pages that use it. The page
//! itself loads its scripts and style sheets in a few files whose names contain a hash of their contents, so that
//! browsers fetch each of them once and never again.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash as _, Hasher as _};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio, exit};
use std::{env, fs};

use flate2::Compression;
use flate2::write::GzEncoder;

#[path = "build/bundle.rs"]
mod bundle;

/// Names of media types by extension.
const MEDIA_TYPES: &[(&str, &str)] = &[
    ("html", "text/html; charset=utf-8"),
    ("css", "text/css; charset=utf-8"),
    ("js", "text/javascript; charset=utf-8"),
    ("svg", "image/svg+xml"),
];

/// A file that is served.
struct Asset {
    /// Its path below `/`.
    path: String,
    content: String,
    /// Whether other content would have another path.
    immutable: bool,
}

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=build");
    println!("cargo::rerun-if-changed=web");
    if let Err(message) = embed_page() {
        println!("cargo::error={message}");
        exit(1);
    }
    require_nasm();
}

/// Writes `assets.rs`, the table of every file that is served, and the files themselves.
fn embed_page() -> Result<(), String> {
    let variable = |name| env::var(name).map(PathBuf::from).map_err(|error| format!("{name}: {error}"));
    let web = variable("CARGO_MANIFEST_DIR")?.join("web");
    let folder = variable("OUT_DIR")?.join("assets");
    _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;

    let mut files = Vec::new();
    list(&web, &mut files)?;
    files.sort();
    let mut assets = Vec::new();
    for file in files {
        let path = file.strip_prefix(&web).unwrap_or(&file).to_string_lossy().into_owned();
        if path == "index.html" {
            assets.extend(page(&web, &read(&file)?)?);
        } else {
            assets.push(Asset { path, content: read(&file)?, immutable: false });
        }
    }
    let mut rows = String::new();
    for (number, asset) in assets.iter().enumerate() {
        rows += &embed(asset, &folder.join(number.to_string()))?;
    }
    write(&folder.with_file_name("assets.rs"), format!("&[\n{rows}]\n").as_bytes())
}

/// The page, whose path is empty, and the files that only it loads.
fn page(web: &Path, index: &str) -> Result<Vec<Asset>, String> {
    let source = |path: &str| read(&web.join(path));
    let mut assets = Vec::new();
    let mut named = |stem: &str, extension: &str, content: String| {
        let path = format!("{stem}.{}.{extension}", hash(&content));
        assets.push(Asset { path: path.clone(), content, immutable: true });
        path
    };
    let mut index = index.to_owned();

    let sheets = between(&index, "<link rel=\"stylesheet\" href=\"", "\"");
    let styles = sheets.iter().map(|sheet| source(sheet)).collect::<Result<String, _>>()?;
    let styles = named("page", "css", bundle::strip_comments(&styles));
    replace(&mut index, "<link rel=\"stylesheet\" href=\"", &sheets, &[styles]);

    let scripts = between(&index, "<script type=\"module\" src=\"", "\"");
    let mut bundles = bundle::Bundles::new(source);
    let mut paths = Vec::new();
    for script in &scripts {
        let path = named(script.trim_end_matches(".js"), "js", bundles.bundle(script)?);
        bundles.finish(&path);
        paths.push(path);
    }
    replace(&mut index, "<script type=\"module\" src=\"", &scripts, &paths);
    assets.push(Asset { path: String::new(), content: index, immutable: false });
    Ok(assets)
}

/// What stands between each `start` and the next `end`.
fn between(text: &str, start: &str, end: &str) -> Vec<String> {
    text.split(start).skip(1).filter_map(|rest| Some(rest.split_once(end)?.0.to_owned())).collect()
}

/// Replaces the names after `start`. Lines with names that have no replacement are left out.
fn replace(text: &mut String, start: &str, names: &[String], by: &[String]) {
    for (number, name) in names.iter().enumerate() {
        let reference = format!("{start}{name}\"");
        match by.get(number) {
            Some(new) => *text = text.replace(&reference, &format!("{start}{new}\"")),
            None => {
                *text = text.lines().filter(|line| !line.contains(&reference)).map(|line| format!("{line}\n")).collect()
            }
        }
    }
}

/// Writes a file as it is and compressed, and returns its row in the table.
fn embed(asset: &Asset, file: &Path) -> Result<String, String> {
    let Asset { path, content, immutable } = asset;
    let extension = if path.is_empty() { "html" } else { path.rsplit('.').next().unwrap_or_default() };
    let Some((_, media_type)) = MEDIA_TYPES.iter().find(|(known, _)| *known == extension) else {
        return Err(format!("web/{path}: no media type is known for this extension; add it to build.rs"));
    };
    let compressed = file.with_extension("gz");
    write(file, content.as_bytes())?;
    write(&compressed, &gzip(content)?)?;
    Ok(format!(
        "Asset {{ path: {path:?}, media_type: {media_type:?}, content: include_bytes!({file:?}), \
         gzip: include_bytes!({compressed:?}), etag: {:?}, immutable: {immutable} }},\n",
        format!("W/\"{}\"", hash(content))
    ))
}

/// The content as gzip, without a time stamp: the same sources make the same program.
fn gzip(content: &str) -> Result<Vec<u8>, String> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    let written = encoder.write_all(content.as_bytes()).and_then(|()| encoder.finish());
    written.map_err(|error| format!("gzip: {error}"))
}

/// Names a content; not against an attacker, who would have to change this program.
fn hash(content: &str) -> String {
    let mut hasher = DefaultHasher::new();
    content.hash(&mut hasher);
    format!("{:016x}", hasher.finish())
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

fn read(path: &Path) -> Result<String, String> {
    fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))
}

fn write(path: &Path, content: &[u8]) -> Result<(), String> {
    fs::write(path, content).map_err(|error| format!("{}: {error}", path.display()))
}

/// Without nasm, dependencies leave out their assembly in silence.
fn require_nasm() {
    // On other processors the encoder's and the JPEG decoder's assembly needs no more than the C compiler.
    let arch = env::var("CARGO_CFG_TARGET_ARCH").unwrap_or_default();
    if !matches!(arch.as_str(), "x86" | "x86_64") {
        return;
    }
    let search = env::var_os("PATH").unwrap_or_default();
    let runs = |nasm: &PathBuf| {
        let status =
            Command::new(nasm).arg("-v").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
        status.is_ok_and(|status| status.success())
    };
    // An empty entry would have the script watch a file that is not there, and run each time.
    let mut found = env::split_paths(&search).filter(|folder| folder.is_absolute()).map(|folder| folder.join("nasm"));
    if let Some(nasm) = found.find(runs) {
        // Watch the file, not PATH, which differs between a shell and make and would cost a build each time.
        println!("cargo::rerun-if-changed={}", nasm.display());
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
