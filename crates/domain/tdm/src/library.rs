//! The public library: namespace `aws` and its examples (TG 1.5, 1.6), compiled from the documents in `library/`.
//!
//! The documents are the release; nothing is defined in code. [`public`] compiles them once per process, in bootstrap
//! mode, with the same checker that judges uploads.

use std::sync::{Arc, LazyLock};

use crate::check::{CheckOptions, Checked, EntitySource, check};
use crate::model::{Entity, Model, Urn};

/// Version of the public namespace. It grows with every release that changes a document.
pub const PUBLIC_VERSION: i64 = 1;

macro_rules! documents {
    ($($path:literal),+ $(,)?) => {
        /// Path and text of every document of the library.
        pub const DOCUMENTS: &[(&str, &str)] = &[$(($path, include_str!(concat!("../library/", $path)))),+];
    };
}

documents! {
    "properties.graphql",
    "enums.graphql",
    "mappings.graphql",
    "examples/motion_sensor.graphql",
    "examples/camera.graphql",
    "examples/camera_rkgn.graphql",
    "examples/screen.graphql",
    "examples/rekognition.graphql",
    "examples/word_count.graphql",
    "examples/modbus/damocles2mini.graphql",
    "examples/modbus/dalibridge.graphql",
    "examples/modbus/coolmasternet.graphql",
}

/// One version of the public namespace.
#[derive(Clone, Debug)]
pub struct PublicNamespace {
    /// [`PUBLIC_VERSION`].
    pub version: i64,
    /// Its entities.
    pub model: Model,
}

impl EntitySource for PublicNamespace {
    fn entity(&self, id: &Urn) -> Option<Arc<Entity>> {
        self.model.get(id).cloned()
    }

    fn mappings(&self) -> Vec<Arc<Entity>> {
        self.model.mappings().cloned().collect()
    }
}

/// Compiles the library's documents.
pub fn compile() -> Checked {
    let texts: Vec<&str> = DOCUMENTS.iter().map(|(_, text)| *text).collect();
    check(&texts, &Model::default(), &CheckOptions::bootstrap())
}

/// The public namespace, compiled at the first call.
pub fn public() -> &'static PublicNamespace {
    static PUBLIC: LazyLock<PublicNamespace> = LazyLock::new(|| {
        let checked = compile();
        PublicNamespace { version: PUBLIC_VERSION, model: checked.model }
    });
    &PUBLIC
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Metatype;

    fn complaints(checked: &Checked, texts: &[&str]) -> Vec<String> {
        let one_line = |found: &marram_diag::Diagnostic| {
            let text = texts[found.source as usize];
            marram_diag::one_line(found, text, &marram_diag::LineIndex::new(text))
        };
        checked.diagnostics.iter().map(one_line).collect()
    }

    /// TG 12.2 c: the library compiles in bootstrap mode without so much as a warning.
    #[test]
    fn the_library_compiles() {
        let checked = compile();
        let texts: Vec<&str> = DOCUMENTS.iter().map(|(_, text)| *text).collect();
        assert_eq!(complaints(&checked, &texts), Vec::<String>::new());
        let count = |metatype| checked.model.entities().filter(|entity| entity.metatype() == metatype).count();
        assert_eq!(count(Metatype::Device), 7);
        assert_eq!(count(Metatype::Service), 4);
        assert_eq!(count(Metatype::Property), 19 + 3 + 2);
        assert!(checked.model.get(&Urn::parse("urn:tdm:aws:property:integer").unwrap()).is_some());
    }

    /// TG 12.2 c: with its namespace rewritten the example library compiles as an upload.
    #[test]
    fn the_examples_compile_as_an_upload() {
        let examples = DOCUMENTS.iter().filter(|(path, _)| path.starts_with("examples/"));
        let texts: Vec<String> = examples
            .map(|(_, text)| text.replace("urn:tdm:aws/examples", "urn:tdm:eu-local-1/100200300400/default"))
            .collect();
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        let checked = check(&texts, public(), &CheckOptions::private("eu-local-1", "100200300400"));
        assert_eq!(complaints(&checked, &texts), Vec::<String>::new());
        assert!(checked.model.entities().all(|entity| !entity.id.is_public()));
    }
}
