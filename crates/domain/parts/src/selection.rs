//! Selection rules of device groups (CC 2.5.2): `thingName: a* OR thingName: *-7 AND thingName: press*`.

/// Longest rule, bytes.
pub const MAX_RULE_BYTES: usize = 4_096;

/// A rule: one of its alternatives must hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SelectionRule {
    /// Alternatives; each holds when all its names match.
    alternatives: Vec<Vec<NamePattern>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct NamePattern {
    text: String,
    /// Anything may stand before.
    is_open_before: bool,
    /// Anything may stand behind.
    is_open_behind: bool,
}

/// A rule that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("selection rule: expected {expected} at column {column}")]
pub struct SelectionError {
    /// From 1.
    pub column: usize,
    /// What could stand there.
    pub expected: &'static str,
}

impl SelectionRule {
    /// Reads a rule.
    ///
    /// # Errors
    /// [`SelectionError`].
    pub fn parse(text: &str) -> Result<Self, SelectionError> {
        if text.len() > MAX_RULE_BYTES {
            return Err(SelectionError { column: MAX_RULE_BYTES, expected: "a shorter rule" });
        }
        let mut rest = text;
        let mut alternatives = vec![Vec::new()];
        let column = |rest: &str| text.len() - rest.len() + 1;
        loop {
            rest = rest.trim_start_matches([' ', '\t', '\r']);
            let behind = rest.strip_prefix("thingName:");
            rest = behind.ok_or(SelectionError { column: column(rest), expected: "thingName:" })?;
            rest = rest.trim_start_matches([' ', '\t', '\r']);
            let end = rest.find([' ', '\t', '\r']).unwrap_or(rest.len());
            let (word, behind) = rest.split_at(end);
            let pattern =
                NamePattern::parse(word).ok_or(SelectionError { column: column(rest), expected: "a thing name" })?;
            if let Some(last) = alternatives.last_mut() {
                last.push(pattern);
            }
            rest = behind.trim_start_matches([' ', '\t', '\r']);
            if rest.is_empty() {
                return Ok(Self { alternatives });
            }
            let end = rest.find([' ', '\t', '\r']).unwrap_or(rest.len());
            match &rest[..end] {
                "OR" => alternatives.push(Vec::new()),
                "AND" => {}
                _ => return Err(SelectionError { column: column(rest), expected: "AND, OR or the end" }),
            }
            rest = &rest[end..];
        }
    }

    /// Whether the rule selects this thing.
    pub fn selects(&self, thing: &str) -> bool {
        self.alternatives.iter().any(|all| all.iter().all(|pattern| pattern.matches(thing)))
    }
}

impl NamePattern {
    fn parse(word: &str) -> Option<Self> {
        if word == "*" {
            return Some(Self { text: String::new(), is_open_before: true, is_open_behind: true });
        }
        let (word, is_open_before) = word.strip_prefix('*').map_or((word, false), |rest| (rest, true));
        let (word, is_open_behind) = word.strip_suffix('*').map_or((word, false), |rest| (rest, true));
        let mut text = String::new();
        let mut letters = word.chars();
        while let Some(letter) = letters.next() {
            match letter {
                '\\' if letters.next() == Some(':') => text.push(':'),
                'a'..='z' | 'A'..='Z' | '0'..='9' | '-' | '_' => text.push(letter),
                _ => return None,
            }
        }
        (!text.is_empty()).then_some(Self { text, is_open_before, is_open_behind })
    }

    fn matches(&self, thing: &str) -> bool {
        match (self.is_open_before, self.is_open_behind) {
            (true, true) => thing.contains(&self.text),
            (true, false) => thing.ends_with(&self.text),
            (false, true) => thing.starts_with(&self.text),
            (false, false) => thing == self.text,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// CC 2.5.2: AND binds tighter, wildcards at the ends, escaped colons; what is refused and where.
    #[test]
    fn rules_select_by_name() {
        for (rule, thing, wanted) in [
            ("thingName: press-7", "press-7", true),
            ("thingName:press-7", "press-70", false),
            ("thingName: press*", "press-70", true),
            ("thingName: *70", "press-70", true),
            ("thingName: *ss*", "press-70", true),
            ("thingName: *", "anything", true),
            ("thingName: a* AND thingName: *z OR thingName: q", "abz", true),
            ("thingName: a* AND thingName: *z OR thingName: q", "ab", false),
            ("thingName: q OR thingName: a* AND thingName: *z", "q", true),
            (r"thingName: a\:b", "a:b", true),
            ("thingName: Press", "press", false),
        ] {
            assert_eq!(SelectionRule::parse(rule).unwrap().selects(thing), wanted, "{rule} on {thing}");
        }
        for (rule, column) in [
            ("", 1),
            ("thingname: a", 1),
            ("thingName : a", 1),
            ("thingName: a:b", 12),
            ("thingName: a b", 14),
            ("thingName: a or thingName: b", 14),
            ("thingName: a*b", 12),
            ("thingName: a OR", 16),
        ] {
            assert_eq!(SelectionRule::parse(rule).unwrap_err().column, column, "{rule}");
        }
    }
}
