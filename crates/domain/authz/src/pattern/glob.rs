//! Whole-text match of compiled tokens, on bytes: both sides are UTF-8, so a literal that matches begins and ends between
//! characters.

/// What one token asks of the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part<'a> {
    Literal(&'a [u8]),
    Star,
    One,
}

/// A token that can be matched.
pub(super) trait AsPart {
    /// What it asks.
    fn part(&self) -> Part<'_>;
}

/// How literals are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Case {
    Exact,
    IgnoreAscii,
}

/// Whether `tokens` match the whole of `text`. Only the last `*` ever needs another try, so the cost is at most text times
/// pattern.
pub(super) fn matches<T: AsPart>(tokens: &[T], text: &str, case: Case) -> bool {
    let mut tokens = tokens;
    let mut rest = text.as_bytes();
    // The end is looked at first: it refuses most of what a `*` before it would search in vain.
    if let Some((last, before)) = tokens.split_last()
        && let Part::Literal(literal) = last.part()
    {
        let Some(at) = rest.len().checked_sub(literal.len()) else { return false };
        let Some((start, end)) = rest.split_at_checked(at) else { return false };
        if !equal(end, literal, case) {
            return false;
        }
        (tokens, rest) = (before, start);
    }
    let mut at = 0_usize;
    let mut retry: Option<(usize, &[u8])> = None;
    loop {
        let advanced = match tokens.get(at).map(AsPart::part) {
            None if rest.is_empty() => return true,
            None => None,
            Some(Part::Literal(literal)) => strip(rest, literal, case),
            Some(Part::One) => skip_char(rest),
            Some(Part::Star) => {
                at = at.saturating_add(1);
                let Some(next) = tokens.get(at) else { return true };
                let Some(from) = seek(rest, next.part(), case) else { return false };
                retry = Some((at, from));
                rest = from;
                continue;
            }
        };
        match (advanced, retry) {
            (Some(remaining), _) => {
                rest = remaining;
                at = at.saturating_add(1);
            }
            (None, Some((after_star, from))) => {
                let next = tokens.get(after_star).map_or(Part::Star, AsPart::part);
                let Some(from) = skip_char(from).and_then(|from| seek(from, next, case)) else { return false };
                retry = Some((after_star, from));
                at = after_star;
                rest = from;
            }
            (None, None) => return false,
        }
    }
}

/// `text` from the first place on where `part` may begin; `None` when there is none.
fn seek<'t>(text: &'t [u8], part: Part<'_>, case: Case) -> Option<&'t [u8]> {
    let Part::Literal(literal) = part else { return Some(text) };
    // The value of a variable may be empty, and stands anywhere.
    let Some(&first) = literal.first() else { return Some(text) };
    let places = text.len().checked_sub(literal.len())?.checked_add(1)?;
    // Literals are short: looking for their first byte beats preparing a search.
    text.get(..places)?.iter().enumerate().find_map(|(at, byte)| {
        let may = match case {
            Case::Exact => *byte == first,
            Case::IgnoreAscii => byte.eq_ignore_ascii_case(&first),
        };
        text.get(at..).filter(|rest| may && strip(rest, literal, case).is_some())
    })
}

fn strip<'t>(text: &'t [u8], literal: &[u8], case: Case) -> Option<&'t [u8]> {
    let (start, rest) = text.split_at_checked(literal.len())?;
    equal(start, literal, case).then_some(rest)
}

fn equal(text: &[u8], literal: &[u8], case: Case) -> bool {
    match case {
        Case::Exact => text == literal,
        Case::IgnoreAscii => text.eq_ignore_ascii_case(literal),
    }
}

/// `text` behind its first character: behind its first byte and the bytes that continue it.
fn skip_char(text: &[u8]) -> Option<&[u8]> {
    let (_, rest) = text.split_first()?;
    let continued = rest.iter().take_while(|byte| matches!(byte, 0x80..=0xbf)).count();
    rest.get(continued..)
}
