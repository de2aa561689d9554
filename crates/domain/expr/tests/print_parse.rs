//! What prints parses back to the same tree, for generated trees of every shape (TG 12.2 e).

use marram_expr::{
    BinaryOp, DataType, EventExpr, Expr, ExprKind, LibraryFn, Span, StartFlow, Step, Template, TemplatePart,
    TriggerCondition, UnaryOp, Value, parse_event_expr, parse_expr, parse_map_rule, parse_start_flow, parse_stmt,
    parse_template, parse_trigger_condition,
};
use proptest::prelude::*;

fn expr(kind: ExprKind) -> Expr {
    Expr { kind, span: Span::default() }
}

fn literal() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        any::<i32>().prop_map(Value::Int32),
        any::<i64>().prop_map(Value::Int64),
        any::<u32>().prop_map(Value::UInt32),
        any::<u64>().prop_map(Value::UInt64),
        prop::num::f32::NORMAL.prop_map(Value::Float32),
        prop::num::f64::NORMAL.prop_map(Value::Float64),
        ".{0,12}".prop_map(Value::string),
    ]
}

fn name() -> impl Strategy<Value = String> {
    prop_oneof![4 => "[a-z_][a-zA-Z0-9_]{0,6}", 1 => Just("TRUE".to_owned()), 1 => Just("in".to_owned()), 1 => Just("macro".to_owned())]
}

fn binary_op() -> impl Strategy<Value = BinaryOp> {
    use BinaryOp::*;
    prop::sample::select(vec![
        Coalesce,
        Or,
        And,
        Equal,
        NotEqual,
        Less,
        LessOrEqual,
        Greater,
        GreaterOrEqual,
        In,
        Add,
        Subtract,
        Multiply,
        Divide,
        Remainder,
    ])
}

fn tree() -> impl Strategy<Value = Expr> {
    let leaf = prop_oneof![
        literal().prop_map(|value| expr(ExprKind::Literal(value))),
        name().prop_map(|name| expr(ExprKind::Name(name.into()))),
        ("[a-z']{1,5}", "[a-z ]{1,5}")
            .prop_map(|(role, event)| expr(ExprKind::LastEvent { role: role.into(), event: event.into() })),
        "[a-z]{1,5}".prop_map(|role| expr(ExprKind::BoundThing { role: role.into() })),
    ];
    leaf.prop_recursive(5, 40, 4, |inner| {
        let boxed = inner.clone().prop_map(Box::new);
        let step = prop_oneof![
            "[a-z]{1,5}".prop_map(|name| Step::Field(name.into())),
            inner.clone().prop_map(Step::Filter),
            ("[a-z]{1,5}", prop::collection::vec(inner.clone(), 0..3))
                .prop_map(|(name, args)| Step::Method { name: name.into(), args }),
        ];
        let base =
            boxed.clone().prop_filter("a path's base is no path", |base| !matches!(base.kind, ExprKind::Path { .. }));
        // `/` directly followed by a name is a step only without spaces, and printing always puts spaces.
        prop_oneof![
            (base, prop::collection::vec(step, 1..4)).prop_map(|(base, steps)| expr(ExprKind::Path { base, steps })),
            (binary_op(), boxed.clone(), boxed.clone()).prop_map(|(op, left, right)| expr(ExprKind::Binary {
                op,
                left,
                right
            })),
            (prop::sample::select(vec![UnaryOp::Not, UnaryOp::Negate, UnaryOp::Plus]), boxed.clone())
                .prop_map(|(op, operand)| expr(ExprKind::Unary { op, operand })),
            (prop::sample::select(vec![DataType::Int8, DataType::String, DataType::Date]), boxed.clone())
                .prop_map(|(to, operand)| expr(ExprKind::Cast { to, operand })),
            (boxed.clone(), boxed.clone(), boxed.clone())
                .prop_map(|(test, then, otherwise)| expr(ExprKind::Conditional { test, then, otherwise })),
            prop::collection::vec(inner.clone(), 0..4).prop_map(|items| expr(ExprKind::List(items))),
            prop::collection::vec(inner.clone(), 0..3).prop_map(|args| {
                let function = LibraryFn::find("Math", "max").unwrap();
                expr(ExprKind::Library { function, is_short: args.len() == 1, args })
            }),
            ("[ a-z{}\"]{1,6}", inner).prop_map(|(text, inner)| {
                let parts = vec![TemplatePart::Text(text.into()), TemplatePart::Interpolation(inner)];
                expr(ExprKind::Template(Template { parts }))
            }),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn expressions(tree in tree()) {
        let text = tree.to_string();
        let stored = serde_json::to_string(&tree).unwrap();
        let back: Result<Expr, _> = serde_json::from_str(&stored);
        match back {
            Ok(back) => prop_assert_eq!(back, tree, "{}", text),
            Err(error) => prop_assert!(false, "{error}: {text}"),
        }
    }

    #[test]
    fn any_text_is_refused_or_round_trips(text in "[ $a-c(){}\\[\\].,/?:!=<>&|+*%'\"0-9macroIN-]{0,40}") {
        if let Ok(tree) = parse_expr(&text) {
            let again: Expr = serde_json::from_value(serde_json::to_value(&tree).unwrap()).unwrap();
            prop_assert_eq!(again, tree);
        }
        if let Ok(template) = parse_template(&text) {
            let again: Template = serde_json::from_value(serde_json::to_value(&template).unwrap()).unwrap();
            prop_assert_eq!(again, template);
        }
        if let Ok(events) = parse_event_expr(&text) {
            let again: EventExpr = events.to_string().try_into().unwrap();
            prop_assert_eq!(again, events);
        }
    }
}

/// TG 3.14, 4.1, 5.2, 6.3: the other forms round trip too.
#[test]
fn statements_rules_and_triggers() {
    let stmt = parse_stmt("$ev.IsTrue = true").unwrap();
    assert_eq!(stmt.target, ["ev", "IsTrue"]);
    assert_eq!(String::from(stmt), "$ev.IsTrue = true");
    assert_eq!(parse_stmt("${x = 1 + 2}").unwrap().to_string(), "$x = 1 + 2");
    assert_eq!(parse_stmt("x == 1").unwrap_err().offset, 2);

    assert_eq!(parse_map_rule("s == OFF=>0").unwrap().to_string(), "s == OFF => 0");
    assert!(parse_map_rule("s == OFF").is_err());

    let events = parse_event_expr("${e1 && (e2 || !e3)}").unwrap();
    assert_eq!(events.to_string(), "e1 && (e2 || !e3)");
    assert!(events.holds(&|name| name != "e2" && name != "e3"));
    assert!(!events.holds(&|name| name == "e3" || name == "e1"));
    assert!(parse_event_expr("e1 + e2").is_err());

    for (source, canonical) in [
        ("every hour", "every 1 hour"),
        ("EVERY 90 Seconds", "every 90 seconds"),
        ("devices.probe.reading.m < 10", "devices[name == 'probe'].events[name == 'reading'].lastEvent.m < 10"),
        ("!devices[name=='a'].events[name=='b'].lastEvent", "!devices[name == 'a'].events[name == 'b'].lastEvent"),
    ] {
        let condition = parse_trigger_condition(source).unwrap();
        assert_eq!(condition.to_string(), canonical);
        assert_eq!(TriggerCondition::try_from(canonical.to_owned()).unwrap(), condition);
    }
    for bad in ["every 0 hours", "every fortnight", "every 1 hour please", "1 == 1", "every"] {
        assert!(parse_trigger_condition(bad).is_err(), "{bad}");
    }

    let action =
        parse_start_flow("thingsgraph.startflow('F', bindings[name == 'p'].deviceId, devices.a.b, 5.0)").unwrap();
    assert_eq!(action.args.len(), 3);
    assert_eq!(action.args[0].kind, ExprKind::BoundThing { role: "p".into() });
    assert_eq!(StartFlow::try_from(action.to_string()).unwrap(), action);
    for bad in ["ThingsGraph.startFlow(x)", "ThingsGraph.stopFlow('x')", "startFlow('x')", "ThingsGraph.startFlow()"] {
        assert!(parse_start_flow(bad).is_err(), "{bad}");
    }
}
