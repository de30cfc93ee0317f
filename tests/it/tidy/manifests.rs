//! What every `Cargo.toml` must say, read line by line.

use super::source::SourceFile;

pub(super) fn inherits_lints(file: &SourceFile) -> Vec<String> {
    let is_crate = file.path.ends_with("/Cargo.toml") && file.text.contains("[package]");
    let is_apart = file.text.contains("\n[workspace]\n"); // it has a workspace of its own
    let fault = is_crate && !is_apart && !file.text.contains("[lints]\nworkspace = true\n");
    fault.then(|| file.at(0, "does not take the lints of the workspace")).into_iter().collect()
}

/// A dependency has a reason if a line of the document names it in backticks.
pub(super) fn has_reasons(file: &SourceFile, document: &str) -> Vec<String> {
    if !file.path.ends_with("Cargo.toml") {
        return Vec::new();
    }
    let unknown = dependencies(&file.text).into_iter().filter(|(_, name)| {
        !name.starts_with("peerline") && !document.contains(&format!("`{name}`"))
    });
    unknown.map(|(line, name)| file.at(line, &format!("ARCHITECTURE.md has no `{name}`"))).collect()
}

/// The dependencies that a manifest adds and their lines, of whatever kind they are.
pub(super) fn dependencies(manifest: &str) -> Vec<(usize, &str)> {
    let mut found = Vec::new();
    let mut inside = false;
    for (number, line) in manifest.lines().enumerate() {
        if let Some(header) = line.trim().strip_prefix('[') {
            let section = header.split(']').next().unwrap_or(header);
            inside = section.ends_with("dependencies");
            if let Some((_, name)) = section.split_once("dependencies.") {
                found.push((number, name));
            }
        } else if inside && !inherited(line) && line.starts_with(char::is_alphanumeric) {
            let end = line.find(|c: char| " .=".contains(c)).unwrap_or(line.len());
            found.push((number, &line[..end]));
        }
    }
    found
}

/// A member's line for what the root manifest already has.
fn inherited(line: &str) -> bool {
    line.contains("workspace = true")
}
