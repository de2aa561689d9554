//! Spellings of iotthingsgraph ARNs that old policies use: `workflow/NAME` and `default#Deployment#NAME`.
//!
//! They never give access and may take it away (things-graph.md section 11.2).

const KINDS: [&str; 3] = ["Workflow", "System", "Deployment"];

/// The current ARN a legacy pattern stands for: `Workflow/default/NAME`. `None` for every other pattern.
pub(crate) fn current_form(pattern: &str) -> Option<String> {
    let (head, resource) = split_resource(pattern)?;
    if head.split(':').nth(2)? != "iotthingsgraph" {
        return None;
    }
    for kind in KINDS {
        if let Some(rest) = strip_ignore_case(resource, kind).and_then(|rest| rest.strip_prefix('/')) {
            let current = resource.starts_with(kind);
            // `Workflow/default/NAME`, or a pattern that still can be one.
            let has_namespace = rest.contains('/') || rest.contains('*') || rest.contains("${");
            return (!(current && has_namespace)).then(|| {
                let name = rest.strip_prefix("default/").unwrap_or(rest);
                format!("{head}:{kind}/default/{name}")
            });
        }
        let marked = resource.strip_prefix("default#").and_then(|rest| strip_ignore_case(rest, kind));
        if let Some(name) = marked.and_then(|rest| rest.strip_prefix('#')) {
            return Some(format!("{head}:{kind}/default/{name}"));
        }
    }
    None
}

/// Splits after the fifth colon.
fn split_resource(text: &str) -> Option<(&str, &str)> {
    let (at, _) = text.match_indices(':').nth(4)?;
    Some((text.get(..at)?, text.get(at.saturating_add(1)..)?))
}

fn strip_ignore_case<'t>(text: &'t str, prefix: &str) -> Option<&'t str> {
    let start = text.get(..prefix.len())?;
    if start.eq_ignore_ascii_case(prefix) { text.get(prefix.len()..) } else { None }
}

#[cfg(test)]
mod tests {
    use super::current_form;

    /// TG 11.2: which spellings are legacy, and what they stand for.
    #[test]
    fn legacy_spellings() {
        let arn = |resource: &str| format!("arn:aws:iotthingsgraph:us-east-1:000000000000:{resource}");
        for (pattern, want) in [
            ("workflow/Press", Some("Workflow/default/Press")),
            ("workflow/default/Press", Some("Workflow/default/Press")),
            ("Workflow/Press", Some("Workflow/default/Press")),
            ("default#Deployment#Line", Some("Deployment/default/Line")),
            ("default#system#*", Some("System/default/*")),
            ("Workflow/default/Press", None),
            ("Workflow/*", None),
            ("*", None),
        ] {
            assert_eq!(current_form(&arn(pattern)), want.map(&arn), "{pattern}");
        }
        assert_eq!(current_form("arn:aws:iot:us-east-1:000000000000:workflow/x"), None);
    }
}
