//! What the console shows: components as a page, and as JSON.

use marram_edge_ports::ComponentDetails;
use serde_json::{Value, json};

/// Nothing is loaded and nothing runs.
pub(crate) const CONTENT_POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'";

/// Components without their configurations, which may hold what a person at a browser need not see.
pub(crate) fn json(components: &[ComponentDetails]) -> Value {
    let one = |details: &ComponentDetails| {
        json!({
            "componentName": details.name.as_str(), "version": details.version.as_str(),
            "state": details.state.as_str(), "statusReason": details.status_reason,
        })
    };
    json!({ "components": components.iter().map(one).collect::<Vec<_>>() })
}

/// The page.
pub(crate) fn html(components: &[ComponentDetails]) -> String {
    let mut rows = String::new();
    for details in components {
        let cells = [
            details.name.as_str(),
            details.version.as_str(),
            details.state.as_str(),
            details.status_reason.as_deref().unwrap_or_default(),
        ];
        rows.push_str("<tr>");
        cells.iter().for_each(|cell| rows.push_str(&format!("<td>{}</td>", escaped(cell))));
        rows.push_str("</tr>");
    }
    format!(
        "<!doctype html><html lang=en><meta charset=utf-8><title>Core</title><style>body{{font:1rem sans-serif;margin:2rem}}\
         td,th{{text-align:left;padding:.2rem 1rem .2rem 0}}</style><h1>Components</h1><table><tr><th>Name<th>Version<th>State\
         <th>Reason{rows}</table></html>"
    )
}

fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            other => safe.push(other),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use marram_edge_ports::ComponentState;

    use super::*;

    /// CR 7.3: what a component says of itself is text, and its configuration is nobody's business here.
    #[test]
    fn components_cannot_write_the_page() {
        let details = ComponentDetails {
            name: "com.example.A".into(),
            version: "1.0.0".into(),
            state: ComponentState::Broken,
            configuration: json!({"password": "hunter2"}),
            status_codes: Vec::new(),
            status_reason: Some("<script>alert('x')</script>".to_owned()),
            is_root: true,
            builtin: false,
        };
        let (page, data) = (html(std::slice::from_ref(&details)), json(&[details]).to_string());
        assert!(page.contains("&lt;script&gt;") && !page.contains("<script>"), "{page}");
        assert!(!page.contains("hunter2") && !data.contains("hunter2") && data.contains("BROKEN"));
    }
}
