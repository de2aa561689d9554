//! `marram tdm check` over several files: they see each other, and findings keep their places.

#[path = "support/world.rs"]
mod world;

use marram_diag::Colour;
use marram_tdm::cli::{Output, SourceFile, check_files};
use marram_tdm::model::Namespace;
use world::expand;

fn file(path: &str, text: &str) -> SourceFile {
    SourceFile { path: path.to_owned(), text: expand(text) }
}

/// A flow, a system and a deployment in one file with entities in another are checked in the order they need.
#[test]
fn files_are_checked_together() {
    let entities = file("entities.tdm", include_str!("world/entities.tdm"));
    let all = [include_str!("world/deployment.tdm"), include_str!("world/system.tdm"), include_str!("world/flow.tdm")];
    let rest = file("export.tdm", &format!("{{\n# é\n{}\n}}\n", all.join("\n")));
    let own = Some(Namespace::private("eu-local-1", "100200300400"));
    let report = check_files(&[rest.clone(), entities.clone()], own.clone(), Output::Text(Colour::Off));
    assert_eq!((report.errors, report.warnings), (0, 0), "{}", report.text);

    let line = 1 + rest.text.lines().position(|line| line.contains("{ sample }")).unwrap();
    let broken = SourceFile { text: rest.text.replace("{ sample }", "{ simple }"), ..rest };
    let report = check_files(&[broken, entities], own, Output::Json);
    let first: serde_json::Value = serde_json::from_str(report.text.lines().next().unwrap()).unwrap();
    // the flow stands behind the system and the deployment that need it, and they miss it
    assert_eq!(report.errors, 3, "{}", report.text);
    let flow = report.text.lines().find(|line| line.contains("TDM4005")).expect("the broken call is found");
    let flow: serde_json::Value = serde_json::from_str(flow).unwrap();
    assert_eq!((&flow["path"], &flow["start"]["line"]), (&"export.tdm".into(), &line.into()), "{flow}");
    assert_eq!(first["path"], "export.tdm");
}
