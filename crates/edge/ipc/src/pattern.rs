//! Resource rules of access control (CR 6.9): `*` for any text, `${*}` `${?}` `${$}` for the signs themselves, and for
//! `aws.greengrass.ipc.mqttproxy` alone the MQTT wildcards as whole levels.

/// Longest rule in bytes; rules come from recipes and deployments.
const MAX_RULE: usize = 4096;
/// Longest rule that mixes both kinds of wildcards, which takes time in proportion to rule times text.
const MAX_MIXED: usize = 256;

/// Why a rule is dropped.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PatternError {
    #[error("an empty resource matches nothing")]
    Empty,
    #[error("`?` must be written `${{?}}`")]
    BareQuestionMark,
    #[error("only `${{*}}`, `${{?}}` and `${{$}}` may follow `$`")]
    UnknownEscape,
    #[error("a resource of {0} bytes is too long")]
    TooLong(usize),
}

/// A compiled rule; the four forms run from the cheapest to the most general.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Pattern {
    /// No wildcard.
    Exact(String),
    /// `*` only: the literal pieces between the stars, the first and last anchored.
    Glob(Vec<String>),
    /// MQTT wildcards only.
    Levels(Vec<Level>),
    /// Both kinds.
    Mixed(Vec<Token>),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Level {
    Text(String),
    /// `+`
    One,
    /// `#`, last.
    Rest,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Token {
    Byte(u8),
    /// `*`
    Any,
    /// `+`
    OneLevel,
    /// `/#` at the end: nothing, or a slash and anything.
    Below,
}

impl Pattern {
    /// Compiles a rule; `mqtt` makes `+` and `#` wildcards.
    pub(crate) fn parse(rule: &str, mqtt: bool) -> Result<Self, PatternError> {
        if rule.is_empty() {
            return Err(PatternError::Empty);
        }
        if rule.len() > MAX_RULE {
            return Err(PatternError::TooLong(rule.len()));
        }
        let tokens = tokens(rule, mqtt)?;
        let any = tokens.contains(&Token::Any);
        let levels = tokens.iter().any(|token| matches!(token, Token::OneLevel | Token::Below));
        Ok(match (any, levels) {
            (false, false) => Self::Exact(pieces(&tokens).concat()),
            (true, false) => Self::Glob(pieces(&tokens)),
            (false, true) => Self::Levels(levels_of(rule)?),
            (true, true) if rule.len() > MAX_MIXED => return Err(PatternError::TooLong(rule.len())),
            (true, true) => Self::Mixed(tokens),
        })
    }

    /// Whether `text` falls under the rule. A topic filter is matched as the text it is, except that `+` of a rule never
    /// stands for a requested `#`, which reaches further.
    pub(crate) fn matches(&self, text: &str) -> bool {
        match self {
            Self::Exact(rule) => rule == text,
            Self::Glob(pieces) => glob(pieces, text),
            Self::Levels(levels) => match_levels(levels, text),
            Self::Mixed(tokens) => simulate(tokens, text.as_bytes()),
        }
    }
}

fn tokens(rule: &str, mqtt: bool) -> Result<Vec<Token>, PatternError> {
    let bytes = rule.as_bytes();
    let mut tokens = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let whole_level = |width: usize| {
            (at == 0 || bytes[at - 1] == b'/') && (at + width == bytes.len() || bytes[at + width] == b'/')
        };
        match bytes[at] {
            b'*' => tokens.push(Token::Any),
            b'?' => return Err(PatternError::BareQuestionMark),
            b'$' if bytes.get(at + 1) == Some(&b'{') => {
                let sign = match bytes.get(at + 2..at + 4) {
                    Some(&[sign @ (b'*' | b'?' | b'$'), b'}']) => sign,
                    _ => return Err(PatternError::UnknownEscape),
                };
                tokens.push(Token::Byte(sign));
                at += 3;
            }
            b'+' if mqtt && whole_level(1) => tokens.push(Token::OneLevel),
            b'#' if mqtt && whole_level(1) && at + 1 == bytes.len() => {
                // `a/#` also covers `a`, so the slash belongs to the wildcard.
                let token = if tokens.pop().is_some() { Token::Below } else { Token::Any };
                tokens.push(token);
            }
            byte => tokens.push(Token::Byte(byte)),
        }
        at += 1;
    }
    Ok(tokens)
}

fn levels_of(rule: &str) -> Result<Vec<Level>, PatternError> {
    let mut texts = rule.split('/').peekable();
    let mut levels = Vec::new();
    while let Some(text) = texts.next() {
        levels.push(match text {
            "+" => Level::One,
            "#" if texts.peek().is_none() => Level::Rest,
            text => Level::Text(pieces(&tokens(text, false)?).concat()),
        });
    }
    Ok(levels)
}

/// The literal texts between `*`.
fn pieces(tokens: &[Token]) -> Vec<String> {
    let literal = |run: &[Token]| {
        let bytes = run.iter().filter_map(|token| if let Token::Byte(byte) = token { Some(*byte) } else { None });
        String::from_utf8_lossy(&bytes.collect::<Vec<u8>>()).into_owned()
    };
    tokens.split(|token| *token == Token::Any).map(literal).collect()
}

fn glob(pieces: &[String], text: &str) -> bool {
    let [first, middle @ .., last] = pieces else {
        return false;
    };
    let Some(mut rest) = text.strip_prefix(first.as_str()) else {
        return false;
    };
    for piece in middle {
        match rest.find(piece.as_str()) {
            Some(at) => rest = &rest[at + piece.len()..],
            None => return false,
        }
    }
    rest.ends_with(last.as_str())
}

fn match_levels(levels: &[Level], text: &str) -> bool {
    let mut found = text.split('/');
    for level in levels {
        match (level, found.next()) {
            (Level::Rest, _) => return true,
            (Level::One, Some(found)) if found != "#" => {}
            (Level::Text(wanted), Some(found)) if wanted == found => {}
            _ => return false,
        }
    }
    found.next().is_none()
}

/// Runs all readings of the rule side by side: bytes of text times tokens at worst, whatever the rule.
fn simulate(tokens: &[Token], text: &[u8]) -> bool {
    let mut states = vec![false; tokens.len() + 1];
    states[0] = true;
    for at in 0..=text.len() {
        // What a state reaches without a byte.
        for state in 0..tokens.len() {
            let skips = match tokens[state] {
                Token::Any | Token::Below => true,
                Token::OneLevel => at == text.len() || text[at] == b'/',
                Token::Byte(_) => false,
            };
            if states[state] && skips {
                states[state + 1] = true;
            }
        }
        if at == text.len() {
            return states[tokens.len()];
        }
        let byte = text[at];
        let lone_hash =
            byte == b'#' && (at == 0 || text[at - 1] == b'/') && text.get(at + 1).is_none_or(|next| *next == b'/');
        let mut next = vec![false; tokens.len() + 1];
        for state in (0..tokens.len()).filter(|state| states[*state]) {
            match tokens[state] {
                Token::Byte(wanted) if wanted == byte => next[state + 1] = true,
                Token::Any => next[state] = true,
                Token::OneLevel if byte != b'/' && !lone_hash => next[state] = true,
                Token::Below if byte == b'/' => return true,
                _ => {}
            }
        }
        states = next;
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    /// CR 6.9: the table of resource rules.
    #[test]
    fn rules_match_as_written() {
        let cases: &[(&str, bool, &[&str], &[&str])] = &[
            ("a/b", false, &["a/b"], &["a/b/c", "a", "A/b"]),
            ("*", false, &["", "a", "a/#", "+"], &[]),
            ("sensors/*", false, &["sensors/", "sensors/a/b", "sensors/#"], &["sensors", "xsensors/a"]),
            ("a*b*c", false, &["abc", "a/b/c", "abcbc"], &["ab", "acb"]),
            ("a${*}b", false, &["a*b"], &["axb"]),
            ("${$}aws/${?}", false, &["$aws/?"], &["$aws/x"]),
            ("$aws/things/*/shadow", false, &["$aws/things/t/shadow"], &["$aws/things/t/shadow/name/x"]),
            ("a/+", false, &["a/+"], &["a/b"]),
            ("a/#", false, &["a/#"], &["a/b", "a"]),
            ("a/+", true, &["a/b", "a/+", "a/"], &["a/b/c", "a", "a/#"]),
            ("a/#", true, &["a", "a/", "a/b/c", "a/#", "a/+"], &["ab", "b"]),
            ("#", true, &["a", "a/b", "#"], &[]),
            ("+/b", true, &["a/b", "/b"], &["a/c", "#/b/c"]),
            ("a+/b#", true, &["a+/b#"], &["ax/bx"]),
            ("*/x/+", true, &["a/b/x/c", "/x/"], &["a/x/c/d", "a/x/#"]),
            ("*/x/#", true, &["a/b/x", "a/x/b/c"], &["a/xy"]),
        ];
        for (rule, mqtt, yes, no) in cases {
            let pattern = Pattern::parse(rule, *mqtt).unwrap();
            for text in *yes {
                assert!(pattern.matches(text), "{rule} should match {text}");
            }
            for text in *no {
                assert!(!pattern.matches(text), "{rule} should not match {text}");
            }
        }
    }

    /// CR 6.9: invalid entries are dropped, not guessed at.
    #[test]
    fn invalid_rules_are_refused() {
        for (rule, error) in [
            ("", PatternError::Empty),
            ("a?b", PatternError::BareQuestionMark),
            ("site/${iot:thingName}/+", PatternError::UnknownEscape),
            ("${", PatternError::UnknownEscape),
            ("${*", PatternError::UnknownEscape),
        ] {
            assert_eq!(Pattern::parse(rule, false), Err(error));
        }
    }

    proptest::proptest! {
        #![proptest_config(proptest::prelude::ProptestConfig::with_cases(500))]

        /// CR 6.9: the short cuts decide as the general reading does.
        #[test]
        fn every_form_agrees_with_the_general_one(rule in "[ab/*+#]{1,8}", text in "[ab/+#]{0,10}", mqtt: bool) {
            let pattern = Pattern::parse(&rule, mqtt).unwrap();
            let general = simulate(&tokens(&rule, mqtt).unwrap(), text.as_bytes());
            proptest::prop_assert_eq!(pattern.matches(&text), general);
        }
    }
}
