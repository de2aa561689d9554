//! The TDM compiler: parse, format, normalise, check as every kind of document.

use std::sync::Arc;

use marram_tdm::check::{
    CheckOptions, Layered, Target, Template, Templates, ThingDevice, Things, check, check_deployment, check_flow,
    check_system,
};
use marram_tdm::model::{Flow, Model, System, Urn};
use marram_tdm::syntax::{FormatOptions, format, normalise, parse, parse_fragment};
use marram_tdm::{has_errors, library};

/// No flows and systems, things of which nothing is known.
struct Nothing;

impl Templates for Nothing {
    fn flow(&self, _id: &Urn) -> Template<Flow> {
        Template::Missing
    }

    fn system(&self, _id: &Urn) -> Template<System> {
        Template::Missing
    }
}

impl Things for Nothing {
    fn thing(&self, _name: &str) -> ThingDevice {
        ThingDevice::Unknown
    }
}

/// The bytes as a document: tokens without gaps, formatting that changes nothing said, every checker.
pub fn run(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let (document, found) = parse(text);
    let covered = document.tokens().iter().map(|token| token.span.len()).sum::<usize>();
    assert!(covered == text.len() || has_errors(&found), "tokens cover {covered} of {} bytes", text.len());
    document.definitions.iter().for_each(|definition| {
        let _ = normalise(definition);
    });
    if !has_errors(&found) {
        let Ok(once) = format(text, FormatOptions::default()) else { panic!("a good document is not formatted") };
        let (again, _) = parse(&once);
        assert_eq!(document, again, "formatting changed what is said");
        assert_eq!(format(&once, FormatOptions::default()).as_ref(), Ok(&once), "formatting twice");
    }
    let _ = format(text, FormatOptions { repair_quotes: true });
    let _ = parse_fragment(text);
    let options = CheckOptions::bootstrap();
    let checked = check(&[text], library::public(), &options);
    if checked.is_ok() {
        let json = serde_json::to_string(&checked.model).expect("a model serialises");
        assert_eq!(serde_json::from_str::<Model>(&json).ok().as_ref(), Some(&checked.model), "a model survives");
    }
    let source = Layered { own: &checked.model, public: library::public() };
    if let Some(flow) = check_flow(text, &source, &options).value {
        let _ = Arc::new(flow);
    }
    let _ = check_system(text, &source, &Nothing, &options);
    let _ = check_deployment(text, &source, &Nothing, &Nothing, Target::Cloud, &options);
}
