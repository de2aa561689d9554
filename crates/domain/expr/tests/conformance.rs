//! The rules of TG 4 as tables: expression, scope, result.

use std::sync::Arc;

use marram_expr::{
    ComplexType, ComplexValue, DataType, EnumMember, EnumType, EnumValue, EvalErrorKind, Field, MapScope, Object,
    Occurrence, PropertyType, Value, classify, eval, eval_bool, eval_value, parse_expr, parse_template, render,
    render_topic, render_url,
};

fn json(text: &str) -> Value {
    Value::from_json_slice(text.as_bytes()).unwrap()
}

fn enum_member(name: &str) -> Value {
    let members = [("OFF", 0), ("AUTO", 7)].map(|(name, value)| EnumMember { name: name.into(), value });
    let ty = Arc::new(EnumType { id: "urn:tdm:t:Enum:Mode".into(), name: "Mode".into(), members: members.into() });
    let member = ty.find(name).unwrap();
    Value::Enum(EnumValue { ty, member })
}

/// A complex value with one declared field `moving`.
fn motion(moving: bool) -> Value {
    let property = Arc::new(PropertyType::built_in(DataType::Boolean));
    let ty = ComplexType {
        id: "urn:tdm:t:State:Motion".into(),
        name: "Motion".into(),
        fields: vec![Field::new("moving", property)],
    };
    let fields = Object::from_iter([("moving", Value::Bool(moving)), ("extra", Value::Int32(5))]);
    Value::Complex(Arc::new(ComplexValue { ty: Arc::new(ty), fields }))
}

fn scope() -> MapScope {
    let mut scope = MapScope::new()
        .with("users", json(r#"[{"name":"ann","height":20},{"name":"rob","height":10}]"#))
        .with("msg", Value::string("t: 14"))
        .with("s", Value::string("ab😀c"))
        .with("image", json(r#"{"value":"v","uri":"a/b","Size":3,"x":1,"X":2}"#))
        .with("plain", json(r#"{"a":{"b":7}}"#))
        .with("n", Value::Int32(8))
        .with("m", Value::Int32(2))
        .with("i8", Value::Int8(-128))
        .with("u32", Value::UInt32(4_000_000_000))
        .with("f32", Value::Float32(0.5))
        .with("i16", Value::Int16(3))
        .with("big", Value::UInt64(u64::MAX))
        .with("inf", Value::Float64(f64::INFINITY))
        .with("mode", enum_member("AUTO"))
        .with("still", motion(false))
        .with("moved", motion(true))
        .with("empty", json("[]"))
        .with("Error", Value::string("TG.Timeout"));
    let occurrence = Occurrence { event: "e".into(), thing: "t".into(), time_ms: 0, payload: motion(false) };
    scope.set("lastEvent", Value::Occurrence(Arc::new(occurrence)));
    scope.set_now(1_700_000_000_123);
    scope
}

/// The result as JSON text with the type name, `Int32 21`, or the error's name.
fn result(source: &str) -> String {
    let expr = match parse_expr(source) {
        Ok(expr) => expr,
        Err(error) => return format!("parse: {}", error.offset),
    };
    match eval(&expr, &scope()) {
        Ok(value) => format!("{} {}", value.type_name(), value.to_json_string().unwrap()),
        Err(error) => error.kind.name().to_owned(),
    }
}

fn check(table: &[(&str, &str)]) {
    let wrong: Vec<_> = table
        .iter()
        .map(|(source, wanted)| (source, wanted, result(source)))
        .filter(|(_, wanted, found)| *wanted != found)
        .collect();
    assert!(wrong.is_empty(), "(expression, wanted, found): {wrong:#?}");
}

/// TG 4.9: every conformance vector.
#[test]
fn vectors_of_the_specification() {
    check(&[
        ("(10 + 11) == 21", "Boolean true"),
        ("((string) 'a' + 'b').substring(1)", "String \"b\""),
        ("10 < 13", "Boolean true"),
        ("tdm.lib.Math.log(2.71828)", "Float64 0.999999327347282"),
        ("(3 / 4) / (5 / 4)", "Int32 0"),
        ("macro(n=${3 + 4})", "String \"n=7\""),
        ("100UL - 3.4", "Float64 96.6"),
        ("macro({\"a\": ${100 % 52}})", "String \"{\\\"a\\\": 48}\""),
        ("null ?? 'x'", "String \"x\""),
        ("users[name == 'rob'].height * 0.9", "Float64 9.0"),
        ("'b' IN ['a','b']", "Boolean true"),
        ("msg == \"t: \" + 14", "Boolean true"),
        ("1 < 2 ? 'y' : 'n'", "String \"y\""),
        ("2147483647 + 1", "TG.ExpressionError"),
        ("\"x\".length()", "Int32 1"),
        ("5 > null", "Boolean false"),
    ]);
}

/// TG 4.1: literals, suffixes, precedence, associativity, interpolation as a primary.
#[test]
fn grammar() {
    check(&[
        ("2147483648", "Int64 2147483648"),
        ("-2147483648", "Int32 -2147483648"),
        ("-9223372036854775808", "Int64 -9223372036854775808"),
        ("9223372036854775808", "parse: 0"),
        ("5l", "Int64 5"),
        ("5U", "UInt32 5"),
        ("5ul", "UInt64 5"),
        ("5F", "Float32 5.0"),
        ("5d", "Float64 5.0"),
        ("3.4L", "Float64 3.4"),
        ("1e3", "Float64 1000.0"),
        ("5x", "parse: 1"),
        ("007", "parse: 0"),
        ("TRUE && !False", "Boolean true"),
        ("NULL", "null null"),
        ("[1, 'a', [2]]", "list [1,\"a\",[2]]"),
        ("'it''s'", "parse: 4"),
        (r#"'it"s \u00e9\u0041\n'"#, "String \"it\\\"s éA\\n\""),
        (r"'\q'", "parse: 1"),
        ("1 + 2 * 3", "Int32 7"),
        ("10 - 4 - 3", "Int32 3"),
        ("1 < 2 == true", "Boolean true"),
        ("true || false && false", "Boolean true"),
        ("null ?? null ?? 3", "Int32 3"),
        ("false ? 1 : true ? 2 : 3", "Int32 2"),
        ("-n + 10", "Int32 2"),
        ("!!n", "Boolean true"),
        ("(int8)300.5 IN [1]", "TG.ExpressionError"),
        ("(int8)'12' + 1", "Int32 13"),
        ("(n) + 1", "Int32 9"),
        ("${n} > 5 && ${m} < 5", "Boolean true"),
        ("$n + ${m}", "Int32 10"),
        ("${Error IN ('TG.Timeout', 'B')}", "Boolean true"),
        ("n IN (8)", "Boolean true"),
        ("n IN (4 + 4)", "Boolean true"),
        ("${n", "parse: 0"),
        ("n and m", "parse: 2"),
        ("n = 1", "parse: 2"),
        ("", "parse: 0"),
        ("foo(1)", "TG.ExpressionError"),
        ("macro (a)", "String \"a\""),
        ("nobody", "TG.ExpressionError"),
    ]);
}

/// TG 4.4: the slash rule, safe navigation, `value`, lists, filters.
#[test]
fn paths() {
    check(&[
        ("plain/a/b", "Int32 7"),
        ("n / m", "Int32 4"),
        ("3/4", "Int32 0"),
        ("image/uri", "String \"a/b\""),
        ("image.value", "String \"v\""),
        ("image.size", "Int32 3"),
        ("image.x", "Int32 1"),
        ("plain.value.a.b", "Int32 7"),
        ("n.value", "Int32 8"),
        ("n.other", "null null"),
        ("plain.missing.further", "null null"),
        ("users.name", "list [\"ann\",\"rob\"]"),
        ("empty.name", "null null"),
        ("users[0].name", "String \"ann\""),
        ("users[m - 1].name", "String \"rob\""),
        ("users[9]", "null null"),
        ("users[height > 15].name", "String \"ann\""),
        ("users[height > n].height", "list [20,10]"),
        ("users[!(name == 'ann')].height", "Int32 10"),
        ("users[ghost == 1]", "list []"),
        ("still.MOVING", "Boolean false"),
        ("still.extra", "Int32 5"),
        ("lastEvent.moving", "Boolean false"),
        ("lastEvent.value.moving", "Boolean false"),
    ]);
}

/// TG 4.6: promotion, checked integers, truncation, text, equality, casts.
#[test]
fn types_and_operators() {
    check(&[
        ("i16 + i16", "Int32 6"),
        ("u32 + u32", "Int64 8000000000"),
        ("f32 + i16", "Float32 3.5"),
        ("f32 + n", "Float64 8.5"),
        ("big - 1", "UInt64 18446744073709551614"),
        ("big + 1", "TG.ExpressionError"),
        ("5UL - 6", "Int64 -1"),
        ("5UL - 6UL", "TG.ExpressionError"),
        ("-i8", "Int32 128"),
        ("-7 / 2", "Int32 -3"),
        ("-7 % 3", "Int32 -1"),
        ("1 / 0", "TG.ExpressionError"),
        ("1 % 0", "TG.ExpressionError"),
        ("1.0 / 0", "TG.ExpressionError"),
        ("1.0 / 0 > 5", "Boolean true"),
        ("'abc' + 1 + 2", "String \"abc12\""),
        ("1 + 2 + 'a'", "String \"3a\""),
        ("'' + 1e20 + 0.1F + true + null + mode", "String \"1.0e200.1truenullAUTO\""),
        ("'' + users[1]", "String \"{\\\"name\\\":\\\"rob\\\",\\\"height\\\":10}\""),
        ("null + 1", "null null"),
        ("(int8)null", "null null"),
        ("null.length()", "null null"),
        ("true + 1", "TG.ExpressionError"),
        ("null == null", "Boolean true"),
        ("1 == 1.0", "Boolean true"),
        ("1 == '1'", "Boolean false"),
        ("9007199254740993 == 9007199254740992.0", "Boolean false"),
        ("mode == 'auto'", "Boolean true"),
        ("mode == 7", "Boolean true"),
        ("mode != 'OFF'", "Boolean true"),
        ("[1, 2] == [1.0, 2]", "Boolean true"),
        ("'a' < 'b'", "Boolean true"),
        ("'a' < 1", "Boolean false"),
        ("big > 1", "Boolean true"),
        ("(int8)127.9", "Int8 127"),
        ("(uint8)-1", "TG.ExpressionError"),
        ("(int32)'4'", "Int32 4"),
        ("(int32)'x'", "TG.ExpressionError"),
        ("(string)4.0", "String \"4.0\""),
        ("(boolean)'TRUE'", "Boolean true"),
    ]);
}

/// TG 4.5: library functions, Java-named methods, arity and bounds.
#[test]
fn functions() {
    check(&[
        ("lib.Math.max(1, 2, 3UL)", "UInt64 3"),
        ("Math.min(2, 1.5, 3)", "Float64 1.5"),
        ("tdm.lib.Math.abs(-5)", "Int32 5"),
        ("tdm.lib.Math.floorMod(-7, 3)", "Int32 2"),
        ("tdm.lib.Math.floorDiv(-7, 2)", "Int32 -4"),
        ("tdm.lib.Math.round(2.5)", "Int64 3"),
        ("tdm.lib.Math.rint(2.5)", "Float64 2.0"),
        ("tdm.lib.Math.sqrt(-1)", "TG.ExpressionError"),
        ("tdm.lib.Math.pow(2, 10)", "Float64 1024.0"),
        ("tdm.lib.Math.abs(1, 2)", "TG.ExpressionError"),
        ("tdm.lib.Math.cosine(1)", "TG.ExpressionError"),
        ("tdm.lib.String.substring('hello', 1, 3)", "String \"el\""),
        ("tdm.lib.String.valueOf(4)", "String \"4\""),
        ("tdm.lib.getDate()", "String \"20231114T221320Z\""),
        ("tdm.lib.getTime()", "Int64 1700000000123"),
        ("tdm.lib.fileSize('x')", "null null"),
        ("s.length()", "Int32 5"),
        ("s.charAt(1)", "String \"b\""),
        ("s.charAt(2)", "TG.ExpressionError"),
        ("s.substring(4)", "String \"c\""),
        ("s.substring(9)", "TG.ExpressionError"),
        ("s.indexOf('c')", "Int32 4"),
        ("s.indexOf('z')", "Int32 -1"),
        ("'abab'.lastIndexOf('ab')", "Int32 2"),
        ("'abab'.lastIndexOf('ab', 1)", "Int32 0"),
        ("' x '.trim().toUpperCase()", "String \"X\""),
        ("'a'.compareTo('c')", "Int32 -2"),
        ("'aXa'.replace('a', 'bb')", "String \"bbXbb\""),
        ("'AbC'.equalsIgnoreCase('aBc')", "Boolean true"),
        ("'abc'.startsWith('b', 1)", "Boolean true"),
        ("(3.9).intValue()", "Int32 3"),
        ("n.toString() + true.toString()", "String \"8true\""),
        ("n.frobnicate()", "TG.ExpressionError"),
    ]);
}

/// TG 4.7: truth, the unwrapping of single-field values, and the occurrence that is never unwrapped.
#[test]
fn boolean_context() {
    let table = [
        ("n", true),
        ("n - 8", false),
        ("'x'", true),
        ("''", false),
        ("null", false),
        ("empty", true),
        ("plain", true),
        ("still", false),
        ("moved", true),
        ("lastEvent", true),
        ("lastEvent.value", false),
        ("still == false", true),
        ("moved == true", true),
        ("lastEvent == null", false),
    ];
    for (source, wanted) in table {
        assert_eq!(eval_bool(&parse_expr(source).unwrap(), &scope()), Ok(wanted), "{source}");
    }
}

/// TG 4.2: how an attribute string becomes a value.
#[test]
fn attribute_strings() {
    let table = [
        ("${n}", "Int32 8"),
        (" ${n + m} ", "Int32 10"),
        ("${n}${m}", "String \"82\""),
        ("$macro(id/${n})", "String \"id/8\""),
        ("macro(a)b)", "String \"a)b\""),
        ("id/${n}", "String \"id/8\""),
        ("$n", "Int32 8"),
        ("$plain.a.b", "Int32 7"),
        ("$unknown", "String \"$unknown\""),
        ("4", "String \"4\""),
        ("gaugeType", "String \"gaugeType\""),
        ("$${n}", "String \"${n}\""),
    ];
    for (source, wanted) in table {
        let value = classify(source).unwrap();
        let scope = scope();
        let value = eval_value(&value, &scope).unwrap();
        assert_eq!(format!("{} {}", value.type_name(), value.to_json_string().unwrap()), wanted, "{source}");
    }
    assert_eq!(classify("id/${n").unwrap_err().offset, 3);
}

/// TG 4.8: JSON templates escape between quotes, topics keep their levels, URLs keep their host.
#[test]
fn templates_do_not_let_values_out() {
    let scope = MapScope::new()
        .with("evil", Value::string("a\",\"b\":\"\\"))
        .with("up", Value::string("../x?y"))
        .with("dots", Value::string(".."))
        .with("t", Value::string("a/+"))
        .with("ok", Value::string("a/b"))
        .with("systemConfig", json(r#"{"awsRegion":"eu-local-1"}"#));
    let template = |source| parse_template(source).unwrap();

    assert_eq!(render(&template(r#"{"k":"${evil}"}"#), &scope).unwrap(), r#"{"k":"a\",\"b\":\"\\"}"#);
    assert_eq!(render(&template("k=${evil}"), &scope).unwrap(), "k=a\",\"b\":\"\\");

    assert_eq!(render_topic(&template("x/${ok}/y"), &scope).unwrap(), "x/a/b/y");
    assert_eq!(render_topic(&template("x/${t}"), &scope).unwrap_err().kind, EvalErrorKind::Request);

    let region = "https://r.${systemConfig.awsRegion}.example/${up}?q=${up}";
    assert_eq!(render_url(&template(region), &scope).unwrap(), "https://r.eu-local-1.example/..%2Fx%3Fy?q=..%2Fx%3Fy");
    for refused in ["https://${ok}/", "${ok}", "https://h:${ok}/", "https://h/a/${dots}/b"] {
        assert_eq!(render_url(&template(refused), &scope).unwrap_err().kind, EvalErrorKind::Request, "{refused}");
    }
}

/// TG 4.1: every limit answers with an error, none with a crash.
#[test]
fn limits() {
    let long = format!("'{}'", "x".repeat(4096));
    assert!(parse_expr(&long).unwrap_err().message.contains("4096"));
    for open in ["(", "!", "[", "n IN (", "-", "(int8)", "n ?? ", "a[", "macro(${", "x ? y : "] {
        assert!(parse_expr(&open.repeat(4000 / open.len())).is_err(), "{open}");
    }
    assert!(parse_expr(&format!("1{}", "+1".repeat(2000))).is_err());
    assert!(parse_expr(&format!("1{}", "+1".repeat(200))).is_ok());

    let many = format!("[{}]", vec!["1"; 3000].join(","));
    let scope = MapScope::new().with("list", json(&many)).with("s", Value::string("x".repeat(200_000)));
    let steps = parse_expr("list[list[true] == 1]").unwrap();
    assert_eq!(eval(&steps, &scope).unwrap_err().kind, EvalErrorKind::Expression);
    let large = parse_expr("s + s").unwrap();
    assert!(eval(&large, &scope).unwrap_err().message.contains("256 KiB"));
    let list = parse_expr("[s, s]").unwrap();
    assert!(eval(&list, &scope).unwrap_err().message.contains("256 KiB"));
}
