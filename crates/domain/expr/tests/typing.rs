//! Static checking, assignment coercion and payload decoding (TG 3.1, 4.3, 4.6, 10.2).

use std::sync::Arc;

use marram_expr::{
    Assignability, ComplexType, DataType, EnumMember, EnumType, EvalErrorKind, Field, PropertyType, Type, TypeScope,
    Value, assignable, check, coerce, decode_payload, duration_ms, parse_expr,
};

fn property(data_type: DataType) -> PropertyType {
    PropertyType::built_in(data_type)
}

/// State `Probe { moisture: Float32 0..100 (device name "m"), serial: String required, wet: computed }`.
fn probe() -> Arc<ComplexType> {
    let mut percent = property(DataType::Float32);
    percent.min_value = Some(Value::Int32(0));
    percent.max_value = Some(Value::Int32(100));
    let mut moisture = Field::new("moisture", Arc::new(percent));
    moisture.device_name = Some("m".into());
    let mut serial = Field::new("serial", Arc::new(property(DataType::String)));
    serial.is_required = true;
    let mut wet = Field::new("wet", Arc::new(property(DataType::Boolean)));
    wet.expr = Some(parse_expr("moisture > 50").unwrap());
    let mut history = Field::new("history", Arc::new(property(DataType::Int8)));
    history.is_list = true;
    Arc::new(ComplexType {
        id: "urn:t:State:Probe".into(),
        name: "Probe".into(),
        fields: vec![moisture, serial, wet, history],
    })
}

struct Names;

impl TypeScope for Names {
    fn root(&self, name: &str) -> Option<Type> {
        Some(match name.to_ascii_lowercase().as_str() {
            "probe" => Type::Of(DataType::Complex(probe())),
            "probes" => Type::Of(DataType::List(Box::new(DataType::Complex(probe())))),
            "text" => Type::Of(DataType::String),
            "n" => Type::Of(DataType::Int32),
            "any" => Type::Of(DataType::Json),
            "systemruntime" => Type::Record(Arc::new(vec![("deviceId".into(), Type::Of(DataType::String))])),
            _ => return None,
        })
    }
}

/// TG 4.3-4.6: what a document is refused for, what it is warned about, and the inferred type.
#[test]
fn static_check() {
    let table = [
        ("probe.moisture * 2", "Float64", ""),
        ("probe.moisture + 1.0F", "Float32", ""),
        ("PROBE.Moisture < 20 && n > 1", "Boolean", ""),
        ("probe.colour", "?", "W Probe declares no field `colour`"),
        ("nobody + 1", "?", "E unknown name `nobody`"),
        ("probe - 1", "?", "E `-` needs numbers, not Probe"),
        ("text * 2", "?", "E `*` needs numbers, not String"),
        ("text + n", "String", ""),
        ("any.x.y * 2", "?", ""),
        ("text.substring(1, 2)", "String", ""),
        ("text.substring()", "?", "E `substring` takes 1 to 2 arguments"),
        ("text.matches('a')", "?", "E String has no method `matches`"),
        ("n.longValue()", "Int64", ""),
        ("tdm.lib.Math.sqrt(text)", "?", "E `sqrt` needs a number, not String"),
        ("tdm.lib.Math.pow(1)", "?", "E `pow` takes 2 to 2 arguments"),
        ("tdm.lib.Nope.x(1)", "?", "E no such library function"),
        ("Math.abs(n)", "?", "E `Math` alone is for mappings: write `tdm.lib.Math`"),
        ("foo(n)", "?", "E there is no function `foo`"),
        ("systemRuntime.deviceId", "String", ""),
        ("systemRuntime.password", "?", "E there is no `password` here"),
        ("probes[moisture > n].serial", "?", ""),
        ("probes[0].serial", "String", ""),
        ("n < text", "Boolean", "W Int32 and String cannot be ordered: always false"),
        ("(int8)text", "Int8", ""),
        ("n == 1 ? 1 : null", "Int32", ""),
        ("bindings[name == 'a'].deviceId", "?", "E `bindings` is not visible here"),
    ];
    for (source, wanted_type, wanted) in table {
        let (ty, findings) = check(&parse_expr(source).unwrap(), &Names);
        let name = match ty {
            Type::Of(data_type) => data_type.to_string(),
            _ => "?".to_owned(),
        };
        let found: Vec<_> = findings
            .iter()
            .map(|finding| format!("{} {}", if finding.is_error { "E" } else { "W" }, finding.message))
            .collect();
        assert_eq!((name.as_str(), found.join("; ").as_str()), (wanted_type, wanted), "{source}");
    }
}

/// TG 4.6: assignment coercion at run time, and what the compiler says of the same pair.
#[test]
fn assignment() {
    let modes = [("OFF", 0), ("AUTO", 7)].map(|(name, value)| EnumMember { name: name.into(), value });
    let mode = DataType::Enum(Arc::new(EnumType { id: "urn:m".into(), name: "Mode".into(), members: modes.into() }));
    let table = [
        (Value::Int32(4), DataType::Int64, "4", "silent"),
        (Value::Int32(300), DataType::UInt8, "TG.TypeError", "silent"),
        (Value::Float64(1.5), DataType::Float32, "1.5", "silent"),
        (Value::Float64(1e300), DataType::Float32, "TG.TypeError", "silent"),
        (Value::Float64(1.5), DataType::Int32, "TG.TypeError", "refused"),
        (Value::Float64(f64::NAN), DataType::Float64, "TG.TypeError", "silent"),
        (Value::string("4"), DataType::Int32, "4", "warning"),
        (Value::string("inf"), DataType::Float64, "TG.TypeError", "warning"),
        (Value::string("4.5"), DataType::Int32, "TG.TypeError", "warning"),
        (Value::Int32(1), DataType::Boolean, "true", "warning"),
        (Value::Int32(2), DataType::Boolean, "TG.TypeError", "warning"),
        (Value::string("False"), DataType::Boolean, "false", "warning"),
        (Value::Bool(true), DataType::Int8, "1", "warning"),
        (Value::Int32(7), DataType::String, "\"7\"", "warning"),
        (Value::string("auto"), mode.clone(), "\"AUTO\"", "warning"),
        (Value::Int32(7), mode.clone(), "\"AUTO\"", "warning"),
        (Value::Int32(8), mode, "TG.TypeError", "warning"),
        (Value::Null, DataType::Int32, "null", "silent"),
        (Value::list(vec![Value::Int32(1)]), DataType::Int32, "TG.TypeError", "silent"),
        (Value::string("2026-03-01T05:00:00Z"), DataType::DateTime, "\"2026-03-01T05:00:00Z\"", "silent"),
        (Value::string("20260301T050000Z"), DataType::DateTime, "\"20260301T050000Z\"", "silent"),
        (Value::Int64(0), DataType::DateTime, "\"1970-01-01T00:00:00.000Z\"", "warning"),
        (Value::string("yesterday"), DataType::DateTime, "TG.TypeError", "silent"),
        (Value::string("2026-02-30"), DataType::Date, "TG.TypeError", "silent"),
        (Value::string("2026-02-28"), DataType::Date, "\"2026-02-28\"", "silent"),
        (Value::string("30 minutes, 5 sec"), DataType::Duration, "\"30 minutes, 5 sec\"", "silent"),
        (Value::string("http://x/a b"), DataType::Uri, "TG.TypeError", "silent"),
        (Value::string("urn:tdm:aws:Property:X"), DataType::Urn, "\"urn:tdm:aws:Property:X\"", "silent"),
        (Value::string("arn:aws:iot"), DataType::Arn, "TG.TypeError", "silent"),
    ];
    for (value, to, wanted, wanted_static) in table {
        let found = match coerce(&value, &to) {
            Ok(value) => value.to_json_string().unwrap(),
            Err(error) => error.kind.name().to_owned(),
        };
        assert_eq!(found, wanted, "{value:?} to {to}");
        let found = match assignable(&Type::of_value(&value), &to) {
            Assignability::Silent => "silent",
            Assignability::Warning(_) => "warning",
            Assignability::Refused(_) => "refused",
        };
        assert_eq!(found, wanted_static, "{value:?} to {to}");
    }
}

/// TG 10.2, 3.1: payloads become values of their property or `TG.PayloadInvalid`.
#[test]
fn payloads() {
    let complex = property(DataType::Complex(probe()));
    let table: [(&str, &PropertyType, bool, Result<&str, ()>); 17] = [
        (
            r#"{"M":60,"serial":"a","extra":{"k":1},"wet":false}"#,
            &complex,
            false,
            Ok(r#"{"moisture":60.0,"serial":"a","wet":true,"history":null,"extra":{"k":1}}"#),
        ),
        (r#"{"moisture":101,"serial":"a"}"#, &complex, false, Err(())),
        (r#"{"moisture":1}"#, &complex, false, Err(())),
        (
            r#"{"serial":"a","history":[1,2.0]}"#,
            &complex,
            false,
            Ok(r#"{"moisture":null,"serial":"a","wet":false,"history":[1,2]}"#),
        ),
        (r#"{"serial":"a","history":[1,999]}"#, &complex, false, Err(())),
        ("[1]", &complex, false, Err(())),
        ("20", &property(DataType::Int8), false, Ok("20")),
        ("20.0", &property(DataType::Int8), false, Ok("20")),
        (r#"{"v": 20}"#, &property(DataType::Int8), false, Ok("20")),
        (r#"{"v": 20, "w": 1}"#, &property(DataType::Int8), false, Err(())),
        ("200", &property(DataType::Int8), false, Err(())),
        ("hello world", &property(DataType::String), false, Ok("\"hello world\"")),
        ("007", &property(DataType::String), false, Ok("\"007\"")),
        ("\"x\"", &property(DataType::String), false, Ok("\"x\"")),
        ("hello", &property(DataType::Json), false, Err(())),
        (r#"{"b":1,"a":[2.5,null]}"#, &property(DataType::Json), false, Ok(r#"{"b":1,"a":[2.5,null]}"#)),
        ("[1,0]", &property(DataType::Boolean), true, Ok("[true,false]")),
    ];
    for (payload, property, is_list, wanted) in table {
        let found = decode_payload(payload.as_bytes(), property, is_list);
        match (&found, wanted) {
            (Ok(value), Ok(wanted)) => assert_eq!(value.to_json_string().unwrap(), wanted, "{payload}"),
            (Err(error), Err(())) => assert_eq!(error.kind, EvalErrorKind::Payload, "{payload}"),
            _ => panic!("{payload}: {found:?}"),
        }
    }
    let too_large = vec![b' '; 128 * 1024 + 1];
    assert!(decode_payload(&too_large, &property(DataType::Json), false).is_err());
}

/// TG 1.4: durations in words and ISO 8601.
#[test]
fn durations() {
    let table = [
        ("2 sec", Some(2_000)),
        ("30 minutes", Some(1_800_000)),
        ("1 hour, 30 minutes", Some(5_400_000)),
        ("PT1M30S", Some(90_000)),
        ("1 day", Some(86_400_000)),
        ("-5 seconds", None),
        ("soon", None),
    ];
    for (text, wanted) in table {
        assert_eq!(duration_ms(text), wanted, "{text}");
    }
}
