//! XML bodies: read into a small tree, written element by element.

use marram_aws_api::ApiError;
use marram_aws_api::s3::{XML_NAMESPACE, text_element};
use quick_xml::Reader;
use quick_xml::events::Event;

use crate::fault;

/// Deepest nesting of a request body; `DeleteObjects` has three levels.
const MAX_DEPTH: usize = 8;

/// An element of a request.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Element {
    pub(crate) name: String,
    pub(crate) text: String,
    pub(crate) children: Vec<Element>,
}

impl Element {
    /// The text of the first child called `name`.
    pub(crate) fn child(&self, name: &str) -> Option<&str> {
        self.children.iter().find(|child| child.name == name).map(|child| child.text.as_str())
    }

    /// Every child called `name`.
    pub(crate) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Element> + 'a {
        self.children.iter().filter(move |child| child.name == name)
    }
}

/// Reads a document whose root is called `root`. Declarations of types and entities are refused.
pub(crate) fn parse(body: &[u8], root: &str) -> Result<Element, ApiError> {
    let text = std::str::from_utf8(body).map_err(|_| fault::malformed_xml())?;
    let mut reader = Reader::from_str(text);
    let mut stack = vec![Element::default()];
    loop {
        let event = reader.read_event().map_err(|_| fault::malformed_xml())?;
        let top = stack.last_mut().ok_or_else(fault::malformed_xml)?;
        match event {
            Event::Start(start) => {
                if stack.len() > MAX_DEPTH {
                    return Err(fault::malformed_xml());
                }
                stack.push(Element { name: start.local_name().as_ref().to_owned(), ..Element::default() });
            }
            Event::Empty(start) => {
                top.children.push(Element { name: start.local_name().as_ref().to_owned(), ..Element::default() });
            }
            Event::End(_) => {
                let done = stack.pop().ok_or_else(fault::malformed_xml)?;
                stack.last_mut().ok_or_else(fault::malformed_xml)?.children.push(done);
            }
            Event::Text(text) => top.text.push_str(&text.xml10_content()),
            Event::CData(text) => top.text.push_str(&text.xml10_content()),
            Event::GeneralRef(reference) => {
                let known = match reference.resolve_char_ref().map_err(|_| fault::malformed_xml())? {
                    Some(c) => c,
                    None => match reference.as_ref() {
                        "amp" => '&',
                        "lt" => '<',
                        "gt" => '>',
                        "quot" => '"',
                        "apos" => '\'',
                        _ => return Err(fault::malformed_xml()),
                    },
                };
                top.text.push(known);
            }
            Event::DocType(_) => return Err(fault::malformed_xml()),
            Event::Decl(_) | Event::PI(_) | Event::Comment(_) => {}
            Event::Eof => break,
        }
    }
    let mut document = stack.pop().filter(|_| stack.is_empty()).ok_or_else(fault::malformed_xml)?;
    match document.children.pop() {
        Some(found) if found.name == root && document.children.is_empty() => Ok(found),
        _ => Err(fault::malformed_xml()),
    }
}

/// Entry of the fuzz target: a body of any text, read as each request that has one.
pub fn fuzz_xml(data: &[u8]) {
    for root in ["Delete", "CompleteMultipartUpload", "CreateBucketConfiguration"] {
        if let Ok(element) = parse(data, root) {
            assert_eq!(element.name, root);
            assert!(element.all("Object").count() <= data.len());
        }
    }
}

/// A document in the making.
pub(crate) struct Document {
    text: String,
    open: Vec<&'static str>,
}

impl Document {
    /// Begins with the root element.
    pub(crate) fn new(root: &'static str) -> Document {
        let text = format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<{root} xmlns=\"{XML_NAMESPACE}\">");
        Document { text, open: vec![root] }
    }

    /// `<name>text</name>`.
    pub(crate) fn text(&mut self, name: &str, text: impl AsRef<str>) -> &mut Document {
        text_element(name, text.as_ref(), &mut self.text);
        self
    }

    /// A number or a boolean.
    pub(crate) fn value(&mut self, name: &str, value: impl std::fmt::Display) -> &mut Document {
        self.text(name, value.to_string())
    }

    /// Opens an element.
    pub(crate) fn open(&mut self, name: &'static str) -> &mut Document {
        self.text.push('<');
        self.text.push_str(name);
        self.text.push('>');
        self.open.push(name);
        self
    }

    /// Closes the element opened last.
    pub(crate) fn close(&mut self) -> &mut Document {
        if let Some(name) = self.open.pop() {
            self.text.push_str("</");
            self.text.push_str(name);
            self.text.push('>');
        }
        self
    }

    /// Closes everything.
    pub(crate) fn finish(mut self) -> String {
        while !self.open.is_empty() {
            self.close();
        }
        self.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// SEC 12.2: entities, unclosed elements, deep nesting and a second root are refused; references are text.
    #[test]
    fn requests_are_read_or_refused() {
        let read = parse(
            b"<?xml version=\"1.0\"?><Delete xmlns=\"x\"><Object><Key>a&amp;b&#x41;</Key></Object></Delete>",
            "Delete",
        );
        assert_eq!(read.unwrap().all("Object").next().unwrap().child("Key"), Some("a&bA"));
        let deep = format!("{}{}", "<a>".repeat(9), "</a>".repeat(9));
        for wrong in [
            "<!DOCTYPE d [<!ENTITY e \"x\">]><Delete>&e;</Delete>",
            "<Delete><Object></Delete>",
            "<Delete/><Delete/>",
            "<Other/>",
            "",
            "<Delete>&unknown;</Delete>",
            &deep,
        ] {
            assert!(parse(wrong.as_bytes(), "Delete").is_err(), "{wrong}");
        }
    }
}
