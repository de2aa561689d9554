//! Text, one-line and JSON forms of a diagnostic.

use annotate_snippets::renderer::DecorStyle;
use annotate_snippets::{AnnotationKind, Group, Level, Patch, Renderer, Snippet};
use serde_json::{Value, json};

use crate::{Diagnostic, LineIndex, Severity, Span};

/// Whether the text form carries terminal colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Colour {
    /// ANSI escapes.
    On,
    /// Plain text.
    Off,
}

/// Longest source that is drawn under a diagnostic, in bytes of its line. A longer line is named, not shown.
const MAX_DRAWN_LINE: usize = 4096;

/// `"<code> line:col <entity>: <message>"`, the form of an upload's `failureReason` (TG section 8).
pub fn one_line(diagnostic: &Diagnostic, source: &str, index: &LineIndex) -> String {
    let at = index.line_col(source, diagnostic.span.start);
    let entity = diagnostic.entity.as_deref().unwrap_or("document");
    format!("{} {}:{} {entity}: {}", diagnostic.code, at.line, at.column, diagnostic.message)
}

/// The diagnostic as a JSON object: its fields plus `start` and `end` as line and column.
pub fn to_json(diagnostic: &Diagnostic, path: &str, source: &str, index: &LineIndex) -> Value {
    let mut value = json!(diagnostic);
    value["path"] = json!(path);
    value["start"] = json!(index.line_col(source, diagnostic.span.start));
    value["end"] = json!(index.line_col(source, diagnostic.span.end));
    value
}

/// All diagnostics of one source, drawn one below the other.
pub fn render_all(diagnostics: &[Diagnostic], path: &str, source: &str, colour: Colour) -> String {
    let mut text = String::new();
    for diagnostic in diagnostics {
        text.push_str(&render(diagnostic, path, source, colour));
        text.push_str("\n\n");
    }
    text
}

/// One diagnostic drawn over its source lines.
pub fn render(diagnostic: &Diagnostic, path: &str, source: &str, colour: Colour) -> String {
    let level = match diagnostic.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
    };
    let title = level.primary_title(diagnostic.message.as_str()).id(diagnostic.code);
    let Some(window) = Window::around(diagnostic, source) else {
        let at = LineIndex::new(source).line_col(source, diagnostic.span.start);
        return format!(
            "{}[{}]: {}\n --> {path}:{}:{}",
            diagnostic.severity, diagnostic.code, diagnostic.message, at.line, at.column
        );
    };
    let mut snippet = Snippet::source(window.text)
        .line_start(window.first_line)
        .path(path)
        .annotation(AnnotationKind::Primary.span(window.place(diagnostic.span)));
    for label in &diagnostic.labels {
        let inside = label.span.start as usize >= window.start && label.span.end as usize <= window.end();
        if inside {
            let place = window.place(label.span);
            snippet = snippet.annotation(AnnotationKind::Context.span(place).label(label.text.as_str()));
        }
    }
    let mut group = title.element(snippet);
    if let Some(help) = &diagnostic.help {
        group = group.element(Level::HELP.message(help.as_str()));
    }
    let mut report: Vec<Group<'_>> = vec![group];
    if let Some(fix) = &diagnostic.fix
        && fix.span.start as usize >= window.start
        && fix.span.end as usize <= window.end()
    {
        let patch = Patch::new(window.place(fix.span), fix.replacement.as_str());
        let snippet = Snippet::source(window.text).line_start(window.first_line).path(path).patch(patch);
        report.push(Level::HELP.secondary_title("write instead").element(snippet));
    }
    let renderer = match colour {
        Colour::On => Renderer::styled(),
        Colour::Off => Renderer::plain(),
    };
    renderer.decor_style(DecorStyle::Ascii).render(&report)
}

/// The whole lines that hold the primary span and every label near it. Drawing only them keeps the cost of a
/// diagnostic independent of the document's size.
struct Window<'s> {
    text: &'s str,
    start: usize,
    first_line: usize,
}

/// Labels further away than this many bytes are left out of the drawing.
const LABEL_REACH: usize = 2048;

impl<'s> Window<'s> {
    fn around(diagnostic: &Diagnostic, source: &'s str) -> Option<Self> {
        let primary = clamp(diagnostic.span, source);
        let (mut from, mut to) = (primary.start, primary.end.min(primary.start + LABEL_REACH));
        for label in &diagnostic.labels {
            let place = clamp(label.span, source);
            let near = place.start + LABEL_REACH >= primary.start && place.end <= primary.start + LABEL_REACH;
            if near {
                from = from.min(place.start);
                to = to.max(place.end);
            }
        }
        let bytes = source.as_bytes();
        let start = bytes[..from].iter().rposition(|b| *b == b'\n').map_or(0, |at| at + 1);
        let end = bytes[to..].iter().position(|b| *b == b'\n').map_or(bytes.len(), |at| to + at);
        let text = source.get(start..end)?;
        let longest = text.split('\n').map(str::len).max().unwrap_or(0);
        let first_line = bytes[..start].iter().filter(|b| **b == b'\n').count() + 1;
        (longest <= MAX_DRAWN_LINE).then_some(Window { text, start, first_line })
    }

    fn end(&self) -> usize {
        self.start + self.text.len()
    }

    /// `span` relative to the window, cut to it and to character boundaries.
    fn place(&self, span: Span) -> std::ops::Range<usize> {
        let inside = |offset: u32| {
            let mut at = (offset as usize).clamp(self.start, self.end()) - self.start;
            while !self.text.is_char_boundary(at) {
                at -= 1;
            }
            at
        };
        inside(span.start)..inside(span.end)
    }
}

fn clamp(span: Span, source: &str) -> std::ops::Range<usize> {
    let boundary = |offset: u32| {
        let mut at = (offset as usize).min(source.len());
        while !source.is_char_boundary(at) {
            at -= 1;
        }
        at
    };
    let start = boundary(span.start);
    start..boundary(span.end).max(start)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> (&'static str, Diagnostic) {
        let source = "type A @x {\n  a: “b”\n}\n";
        let at = Span::new(17, 20);
        let diagnostic = Diagnostic::error("TDM1004", at, "typographic quote `“`")
            .entity("urn:tdm:aws:State:A")
            .label(Span::new(14, 15), "this field")
            .help("write a plain quote")
            .fix(at, "\"");
        (source, diagnostic)
    }

    /// TG section 8: `failureReason` is a list of `"<code> line:col <entity>: <message>"`.
    #[test]
    fn one_line_names_code_place_entity_and_message() {
        let (source, diagnostic) = sample();
        let line = one_line(&diagnostic, source, &LineIndex::new(source));
        assert_eq!(line, "TDM1004 2:6 urn:tdm:aws:State:A: typographic quote `“`");
    }

    /// TG 2.5: code, severity, line, column, message, fix; all of them survive in JSON.
    #[test]
    fn json_keeps_every_part() {
        let (source, diagnostic) = sample();
        let value = to_json(&diagnostic, "a.tdm", source, &LineIndex::new(source));
        assert_eq!(value["code"], "TDM1004");
        assert_eq!(value["severity"], "error");
        assert_eq!(value["start"], json!({"line": 2, "column": 6}));
        assert_eq!(value["fix"], json!({"span": {"start": 17, "end": 20}, "replacement": "\""}));
    }

    /// Colours are a choice of the caller; plain output holds no escape byte, even when the source does.
    #[test]
    fn drawing_shows_the_line_and_escapes_nothing_raw() {
        let (source, diagnostic) = sample();
        let plain = render(&diagnostic, "a.tdm", source, Colour::Off);
        assert!(plain.contains("error[TDM1004]") && plain.contains("a.tdm:2:6"), "{plain}");
        assert!(plain.contains("this field") && plain.contains("write a plain quote"), "{plain}");
        assert!(!plain.contains('\u{1b}'));
        assert!(render(&diagnostic, "a.tdm", source, Colour::On).contains('\u{1b}'));

        let hostile = "a \u{1b}[2J b";
        let drawn = render(&Diagnostic::error("TDM1001", Span::new(2, 3), "x"), "a", hostile, Colour::Off);
        assert!(!drawn.contains('\u{1b}'), "{drawn}");
    }

    /// A span outside the source, inside a character, or in a line of a megabyte draws without a panic.
    #[test]
    fn odd_spans_are_drawn() {
        let long = "x".repeat(1 << 20);
        for (source, span) in [("", Span::new(5, 9)), ("ß", Span::new(1, 1)), (long.as_str(), Span::new(9, 12))] {
            let drawn = render(&Diagnostic::error("TDM1001", span, "m"), "p", source, Colour::Off);
            assert!(drawn.contains("TDM1001") && drawn.len() < 10_000, "{drawn}");
        }
    }
}
