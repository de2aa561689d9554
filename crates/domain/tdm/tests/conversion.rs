//! How a value of one property becomes a value of another (TG 5.4, 5.5).

#[path = "support/world.rs"]
mod world;

use marram_tdm::check::{EntitySource, Layered, check};
use marram_tdm::library;
use marram_tdm::mapping::ConversionGraph;
use marram_tdm::model::{Conversion, Direction, Model, Urn};
use world::{expand, options, urn};

const PROPERTIES: &str = r#"
type Percent @propertyType(id: "NS:Property:brightness/percent", dataType: int32) {}
type Brightness @propertyType(id: "NS:Property:brightness", isAbstract: true) {}
type Level @propertyType(id: "NS:Property:level", dataType: float64) {}
type Lumen @propertyType(id: "NS:Property:lumen", dataType: int16, uom: "urn:tdm:aws:uom:base/luminosity") {}
type Watt @propertyType(id: "NS:Property:watt", dataType: int16, uom: "urn:tdm:aws:uom:derived/power") {}
type Name @propertyType(id: "NS:Property:name", dataType: string) {}
type Far @propertyType(id: "NS:Property:far", dataType: uri) {}
type Rgb @stateType(id: "NS:State:Rgb") { red: X @property(id: "NS:Property:brightness/percent") note: X @property(id: "urn:tdm:aws:Property:String") }
type RgbP @propertyType(id: "NS:Property:rgb", instanceOf: "NS:State:Rgb") {}
type Lamp @stateType(id: "NS:State:Lamp") { RED: X! @property(id: "NS:Property:level") }
type LampP @propertyType(id: "NS:Property:lamp", instanceOf: "NS:State:Lamp") {}
type Strict @stateType(id: "NS:State:Strict") { red: X! @property(id: "NS:Property:level") green: X! @property(id: "NS:Property:level") }
type StrictP @propertyType(id: "NS:Property:strict", instanceOf: "NS:State:Strict") {}
"#;

fn mapping(name: &str, from: &str, to: &str, block: &str) -> String {
    format!(
        "query {name} @mapping(id: \"NS:Mapping:{name}\", from: \"NS:Property:{from} s\", to: \"NS:Property:{to} t\") {{ {block} }}\n"
    )
}

fn build(mappings: &str) -> Model {
    let text = expand(&format!("{PROPERTIES}{mappings}"));
    let checked = check(&[&text], library::public(), &options());
    assert!(checked.is_ok(), "{:?}", checked.diagnostics);
    checked.model
}

/// The conversion as words: mappings by name with their direction, fields in braces; `!` after a warning.
fn plan(model: &Model, from: &str, to: &str) -> String {
    let source = Layered { own: model, public: library::public() };
    let graph = ConversionGraph::new(&source.mappings());
    let id = |text: &str| if text.contains(':') { Urn::parse(text).unwrap() } else { urn(&format!("Property:{text}")) };
    match graph.plan(&id(from), &id(to), &|id| source.entity(id)) {
        Err(_) => "none".to_owned(),
        Ok(planned) => show(&planned.conversion) + if planned.warning.is_some() { "!" } else { "" },
    }
}

fn show(conversion: &Conversion) -> String {
    match conversion {
        Conversion::Coerce => "coerce".to_owned(),
        Conversion::Mappings(hops) => {
            let hop = |hop: &marram_tdm::model::MappingHop| {
                let arrow = if hop.direction == Direction::Forward { "" } else { "~" };
                format!("{arrow}{}", hop.mapping.name())
            };
            hops.iter().map(hop).collect::<Vec<_>>().join(" ")
        }
        Conversion::Fields(fields) => {
            let field = |f: &marram_tdm::model::FieldConversion| format!("{}: {}", f.field, show(&f.conversion));
            format!("{{{}}}", fields.iter().map(field).collect::<Vec<_>>().join(", "))
        }
    }
}

/// TG 5.5, rules 1 to 5 in order.
#[test]
fn conversions_follow_the_five_rules() {
    let model =
        build(&mapping("PercentToLevel", "brightness/percent", "level", "forward { map(expr: \"s / 100.0 => t\") }"));
    for (from, to, wanted) in [
        ("level", "level", "coerce"),
        ("rgb", "urn:tdm:aws:Property:Json", "coerce"),
        ("urn:tdm:aws:Property:Json", "rgb", "coerce"),
        ("brightness/percent", "brightness", "coerce"),
        ("brightness/percent", "level", "PercentToLevel"),
        ("level", "brightness/percent", "none"),
        ("level", "urn:tdm:aws:Property:String", "coerce"),
        ("urn:tdm:aws:Property:Int8", "urn:tdm:aws:Property:Int64", "Int8ToInt64"),
        ("urn:tdm:aws:Property:Integer", "urn:tdm:aws:Property:Double", "Int32ToFloat64"),
        ("lumen", "watt", "coerce!"),
        ("lumen", "level", "none"),
        ("name", "far", "none"),
        ("rgb", "lamp", "{RED: PercentToLevel}"),
        ("rgb", "strict", "none"),
        ("rgb", "level", "none"),
    ] {
        assert_eq!(plan(&model, from, to), wanted, "{from} -> {to}");
    }
}

/// TG 5.5 rule 2: the shortest chain, at most four mappings; ties by URN; an ancestor may stand at the start.
#[test]
fn the_shortest_chain_is_chosen_the_same_way_every_time() {
    let both = "symmetric { map(expr: \"s => t\") }";
    let model = build(
        &[
            mapping("B", "level", "lumen", both),
            mapping("A", "lumen", "name", both),
            mapping("C", "level", "watt", both),
            mapping("D", "watt", "name", both),
            mapping("E", "name", "far", both),
        ]
        .concat(),
    );
    assert_eq!(plan(&model, "level", "name"), "B A");
    assert_eq!(plan(&model, "name", "level"), "~A ~B");
    assert_eq!(plan(&model, "level", "far"), "B A E");
    let ancestor = build(&mapping("Up", "brightness", "level", "forward { map(expr: \"s => t\") }"));
    assert_eq!(plan(&ancestor, "brightness/percent", "level"), "Up");
    let chain = |length: usize| -> String {
        let link = |n: usize| {
            format!("type L{n} @propertyType(id: \"NS:Property:l{n}\", dataType: int32) {{}}\n")
                + &if n > 0 {
                    mapping(
                        &format!("M{n}"),
                        &format!("l{}", n - 1),
                        &format!("l{n}"),
                        "forward { map(expr: \"s => t\") }",
                    )
                } else {
                    String::new()
                }
        };
        (0..=length).map(link).collect()
    };
    assert_eq!(plan(&build(&chain(4)), "l0", "l4"), "M1 M2 M3 M4");
    // five are too many, and both are Int32: coerced, with a warning
    assert_eq!(plan(&build(&chain(5)), "l0", "l5"), "coerce!");
}

/// TG 5.3: field rules take the conversions between the properties of their ends with them.
#[test]
fn field_rules_are_linked_to_conversions() {
    let block = "forward { map(expr: \"s.red => t.RED\") map(expr: \"s.note => NULL\") }";
    let model = build(
        &(mapping("PercentToLevel", "brightness/percent", "level", "forward { map(expr: \"s / 100.0 => t\") }")
            + &mapping("RgbToLamp", "rgb", "lamp", block)),
    );
    let mapping = model.mapping(&urn("Mapping:RgbToLamp")).unwrap();
    let rules = mapping.forward.as_ref().unwrap();
    let marram_tdm::model::MappingRule::Field { conversion, .. } = &rules[0] else { panic!("a field rule") };
    assert_eq!(show(conversion), "PercentToLevel");
    assert!(model.get(&urn("Mapping:RgbToLamp")).unwrap().references.contains(&urn("Property:rgb")));
}
