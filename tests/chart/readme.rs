//! The table of README.md is made of the comments in values.yaml.

use serde_json::Value;

use crate::{chart, file};

const BEGIN: &str = "<!-- made from values.yaml: UPDATE=1 cargo test --test chart readme -->\n";
const END: &str = "<!-- end -->\n";

/// One key of values.yaml.
struct Row {
    path: String,
    text: String,
}

/// The commented keys in their order. A key below a commented one belongs to its value.
fn rows(values: &str) -> Result<Vec<Row>, String> {
    let (mut rows, mut parents, mut text, mut inside) =
        (Vec::new(), Vec::<(usize, String)>::new(), String::new(), None);
    for line in values.lines() {
        let trimmed = line.trim_start();
        let indent = line.len() - trimmed.len();
        if inside.is_some_and(|parent| indent > parent && !trimmed.is_empty()) {
            continue;
        }
        inside = None;
        if let Some(first) = trimmed.strip_prefix("# -- ") {
            first.clone_into(&mut text);
        } else if let Some(more) = trimmed.strip_prefix("# ") {
            if !text.is_empty() {
                text = format!("{text} {more}");
            }
        } else if let Some((key, value)) = trimmed.split_once(':') {
            parents.retain(|(of, _)| *of < indent);
            let path = parents.iter().map(|(_, key)| key.as_str()).chain([key]).collect::<Vec<_>>().join(".");
            if !text.is_empty() {
                rows.push(Row { path, text: std::mem::take(&mut text) });
                inside = Some(indent);
            } else if value.trim().is_empty() {
                parents.push((indent, key.to_owned()));
            } else {
                return Err(format!("values.yaml: {path} has no comment `# -- …`"));
            }
        }
    }
    Ok(rows)
}

/// The table.
fn table(values: &str) -> Result<String, String> {
    let parsed: Value = serde_saphyr::from_str(values).map_err(|error| error.to_string())?;
    let mut lines = vec!["| Key | Default | Description |\n|---|---|---|\n".to_owned()];
    for Row { path, text } in rows(values)? {
        let default = path.split('.').fold(&parsed, |value, key| &value[key]);
        lines.push(format!("| `{path}` | `{default}` | {} |\n", text.replace('|', "\\|")));
    }
    Ok(lines.concat())
}

#[test]
fn readme_has_every_value_with_its_default() {
    let readme = file("README.md");
    let (head, rest) = readme.split_once(BEGIN).expect("README.md has the first mark");
    let (_, tail) = rest.split_once(END).expect("README.md has the second mark");
    let made = format!("{head}{BEGIN}{}{END}{tail}", table(&file("values.yaml")).unwrap());
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(chart().join("README.md"), made).unwrap();
    } else {
        assert!(readme == made, "README.md is not what values.yaml says: UPDATE=1 cargo test --test chart readme");
    }
}

#[test]
fn a_value_without_comment_is_found() {
    assert!(table("a:\n  # -- One\n  b: {c: 1}\n  d: 2\n").unwrap_err().contains("a.d has no comment"));
    let table = table("a:\n  # -- One | two,\n  # three\n  b:\n    c: 1\n").unwrap();
    assert!(table.ends_with("| `a.b` | `{\"c\":1}` | One \\| two, three |\n"), "{table}");
}
