//! What an expression at a step may name, and what is wrong with one (TG 4.3 to 4.6).

use marram_expr::{LibraryFn, Type, TypeScope, ValueExpr};
use marram_tdm::syntax;
use serde_json::{Value, json};

use crate::analysis::Lazy;
use crate::offsets::Offsets;
use crate::outline;
use crate::request::Request;
use crate::types::{Entities, Names, Types, members, type_name};
use crate::{LanguageError, MAX_ITEMS, World};

/// How deep the fields of a complex value are listed.
const MAX_FIELD_DEPTH: usize = 3;

/// The answer of `scope`.
pub(crate) fn answer(request: &Request<'_>, world: &dyn World) -> Result<Value, LanguageError> {
    let text = request.text()?;
    let (document, _) = syntax::parse(text);
    let flows = outline::flows(&document);
    let flow = &flows[pick_flow(&flows, request.optional("flow")?)?];
    let step = request.string("step")?;
    if flow.step(step).is_none() {
        return Err(LanguageError::about("step", format!("the flow has no step `{}`", crate::request::clip(step))));
    }
    let place = request.optional("place")?.unwrap_or("argument");
    if !["argument", "condition", "error", "statement"].contains(&place) {
        return Err(LanguageError::about("place", "expected argument, condition, error or statement"));
    }
    let checked = Lazy::new(text, world);
    let types = Types::new(Entities { own: &checked.get().model, world });
    let names = Names::of_flow(flow, &types, place == "error");
    let mut answer = json!({ "names": listed(&names), "functions": functions(), "type": null });
    if request.get("expression").is_some() {
        let expression = request.long_string("expression")?;
        let judged = judge(expression, place, &names);
        answer["type"] = json!(judged.ty.as_ref().and_then(type_name));
        if let Some((message, from, to)) = judged.problem {
            let offsets = Offsets::new(expression);
            answer["error"] = json!({ "message": message, "from": offsets.utf16(from), "to": offsets.utf16(to) });
        }
        if !judged.warnings.is_empty() {
            let offsets = Offsets::new(expression);
            let warning = |(message, from, to): &Problem| json!({ "message": message, "from": offsets.utf16(*from), "to": offsets.utf16(*to) });
            answer["warnings"] = judged.warnings.iter().map(warning).collect();
        }
    }
    Ok(answer)
}

/// The flow a request names by URN or name; the only one when it names none.
pub(crate) fn pick_flow(flows: &[outline::Flow<'_>], wanted: Option<&str>) -> Result<usize, LanguageError> {
    let Some(wanted) = wanted else {
        return match flows {
            [_] => Ok(0),
            [] => Err(LanguageError::about("flow", "the text has no flow")),
            _ => Err(LanguageError::about("flow", "the text has several flows; say which")),
        };
    };
    let by_urn = flows.iter().position(|flow| flow.urn.as_ref().is_some_and(|urn| is_urn(urn, wanted)));
    let found = by_urn.or_else(|| flows.iter().position(|flow| flow.name().eq_ignore_ascii_case(wanted)));
    let missing = || LanguageError::about("flow", format!("the text has no flow `{}`", crate::request::clip(wanted)));
    found.ok_or_else(missing)
}

pub(crate) fn is_urn(urn: &marram_tdm::model::Urn, text: &str) -> bool {
    marram_tdm::model::Urn::parse(text).is_ok_and(|other| other == *urn)
}

fn listed(names: &Names) -> Vec<Value> {
    let mut all = Vec::new();
    let mut waiting: Vec<(String, Type, usize)> =
        names.roots().iter().rev().map(|(name, ty)| (name.to_string(), ty.clone(), 1)).collect();
    while let Some((path, ty, depth)) = waiting.pop() {
        if all.len() >= MAX_ITEMS {
            break;
        }
        if depth <= MAX_FIELD_DEPTH {
            let below = members(&ty).into_iter().rev();
            waiting.extend(below.map(|(name, ty)| (format!("{path}.{name}"), ty, depth + 1)));
        }
        if !matches!(ty, Type::Record(_)) {
            all.push(json!({ "path": path, "type": type_name(&ty) }));
        }
    }
    all
}

fn functions() -> Vec<Value> {
    LibraryFn::all().map(|function| json!({ "path": function_path(function), "arguments": function.arity() })).collect()
}

pub(crate) fn function_path(function: LibraryFn) -> String {
    match function.group() {
        "" => format!("tdm.lib.{}", function.name()),
        group => format!("tdm.lib.{group}.{}", function.name()),
    }
}

/// A message and the bytes it is about.
type Problem = (String, usize, usize);

/// What a type checker says of an expression.
struct Judged {
    ty: Option<Type>,
    problem: Option<Problem>,
    warnings: Vec<Problem>,
}

fn judge(text: &str, place: &str, names: &Names) -> Judged {
    let parsed = match place {
        "argument" => marram_expr::classify(text).map(|value| match value {
            ValueExpr::Typed(expr) => (vec![expr], None),
            ValueExpr::Variable { path, .. } => {
                let is_known = path.roots().iter().all(|root| names.root(root).is_some());
                if is_known { (vec![path], None) } else { (Vec::new(), Some(text_type())) }
            }
            ValueExpr::Template(template) => (template.exprs().cloned().collect(), Some(text_type())),
            ValueExpr::Literal(_) => (Vec::new(), Some(text_type())),
        }),
        "statement" => marram_expr::parse_stmt(text).map(|statement| (vec![statement.value], None)),
        _ => marram_expr::parse_expr(text).map(|expr| (vec![expr], None)),
    };
    let (exprs, fixed) = match parsed {
        Ok(parsed) => parsed,
        Err(error) => {
            let at = crate::offsets::floor_boundary(text, error.offset);
            let problem = Some((error.message, at, text.len()));
            return Judged { ty: None, problem, warnings: Vec::new() };
        }
    };
    let mut judged = Judged { ty: fixed, problem: None, warnings: Vec::new() };
    for expr in &exprs {
        let (ty, found) = marram_expr::check(expr, names);
        if judged.ty.is_none() {
            judged.ty = Some(ty);
        }
        for finding in found {
            let (mut from, mut to) = (finding.span.start as usize, finding.span.end as usize);
            if to <= from {
                (from, to) = (expr.span.start as usize, expr.span.end as usize);
            }
            let problem = (finding.message, from, to);
            if !finding.is_error {
                judged.warnings.push(problem);
            } else if judged.problem.is_none() {
                judged.problem = Some(problem);
            }
        }
    }
    judged
}

fn text_type() -> Type {
    Type::Of(marram_expr::DataType::String)
}
