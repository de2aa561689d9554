//! Every parser of `marram-expr`, then evaluation and printing of what parsed.

use marram_expr::{
    MapScope, Value, classify, eval, eval_bool, eval_value, parse_event_expr, parse_expr, parse_map_rule,
    parse_start_flow, parse_stmt, parse_template, parse_trigger_condition, render_topic, render_url,
};

/// The bytes as each form in turn; whatever parses is evaluated and printed.
pub fn run(data: &[u8]) {
    if let Ok(json) = Value::from_json_slice(data) {
        let _ = json.to_json_string();
    }
    let Ok(text) = std::str::from_utf8(data) else { return };
    let mut scope = MapScope::new()
        .with("x", Value::Int32(7))
        .with("s", Value::string("héllo"))
        .with("r", Value::from_json_slice(br#"{"a":{"b":[1,2]},"name":"n"}"#).unwrap_or_default())
        .with("l", Value::list(vec![Value::Int32(1), Value::string("b")]));
    scope.set_now(1_700_000_000_000);
    if let Ok(expr) = parse_expr(text) {
        let again = parse_expr(&expr.to_string());
        assert!(again.is_err() || again.as_ref() == Ok(&expr), "printing changed `{text}` into `{expr}`");
        let _ = eval(&expr, &scope);
        let _ = eval_bool(&expr, &scope);
    }
    if let Ok(value) = classify(text) {
        let _ = eval_value(&value, &scope);
    }
    if let Ok(template) = parse_template(text) {
        let _ = render_topic(&template, &scope);
        let _ = render_url(&template, &scope);
    }
    let _ = parse_stmt(text);
    let _ = parse_map_rule(text);
    let _ = parse_event_expr(text);
    let _ = parse_trigger_condition(text);
    let _ = parse_start_flow(text);
}
