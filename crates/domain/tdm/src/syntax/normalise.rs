//! The normalised text of a definition, for telling a change from a new layout (TG section 8).

use std::fmt::Write;

use super::ast::*;
use super::strings::quote;

/// One line that two definitions share iff they say the same: without comments, layout and commas, with one quote
/// style, and with keywords, directives, arguments and blocks in lower case. Spelled names and strings stay.
pub fn normalise(definition: &Definition) -> String {
    let mut text = String::new();
    if let Some(description) = &definition.description {
        text.push_str(&quote(&description.value, '"'));
        text.push(' ');
    }
    let keyword = match definition.body {
        Body::Type { .. } => "type",
        Body::Query { .. } => "query",
        Body::Enum { .. } => "enum",
    };
    text.push_str(keyword);
    text.push(' ');
    text.push_str(&definition.name.text);
    if let Body::Query { variables, .. } = &definition.body {
        for variable in variables {
            let _ = write!(text, " ${}:", variable.name.text);
            type_ref(&mut text, &variable.ty);
            if let Some(default) = &variable.default {
                text.push('=');
                value(&mut text, default);
            }
            directives(&mut text, &variable.directives);
        }
    }
    directives(&mut text, &definition.directives);
    match &definition.body {
        Body::Type { implements, fields } => {
            for interface in implements {
                let _ = write!(text, " &{}", interface.name.text);
                directives(&mut text, &interface.directives);
            }
            text.push('{');
            // `ignore: void` is how an empty body is written
            for field in fields.iter().filter(|field| !field.is_ignore_marker()) {
                let _ = write!(text, " {}:", field.name.text);
                type_ref(&mut text, &field.ty);
                arguments(&mut text, field.arguments.as_ref());
                directives(&mut text, &field.directives);
            }
            text.push('}');
        }
        Body::Query { selections: all, .. } => selections(&mut text, all),
        Body::Enum { members } => {
            text.push('{');
            for member in members {
                text.push(' ');
                text.push_str(&member.name.text);
                directives(&mut text, &member.directives);
            }
            text.push('}');
        }
    }
    text
}

fn directives(text: &mut String, all: &[Directive]) {
    for directive in all {
        let _ = write!(text, " @{}", directive.name.text.to_ascii_lowercase());
        arguments(text, directive.arguments.as_ref());
    }
}

fn arguments(text: &mut String, all: Option<&Arguments>) {
    let Some(all) = all.filter(|all| !all.items.is_empty()) else { return };
    text.push('(');
    entries(text, &all.items);
    text.push(')');
}

fn entries(text: &mut String, all: &[Argument]) {
    for (index, argument) in all.iter().enumerate() {
        text.push_str(if index > 0 { " " } else { "" });
        let _ = write!(text, "{}:", argument.name.text.to_ascii_lowercase());
        value(text, &argument.value);
    }
}

fn selections(text: &mut String, all: &[Selection]) {
    text.push('{');
    for selection in all {
        text.push(' ');
        if let Some(alias) = &selection.alias {
            let _ = write!(text, "{}:", alias.text);
        }
        text.push_str(&selection.name.text.to_ascii_lowercase());
        arguments(text, selection.arguments.as_ref());
        directives(text, &selection.directives);
        if let Some(inner) = selection.selections.as_ref().filter(|inner| !inner.is_empty()) {
            selections(text, inner);
        }
    }
    text.push('}');
}

fn type_ref(text: &mut String, ty: &TypeRef) {
    match &ty.shape {
        TypeShape::Named(name) => text.push_str(&name.text),
        TypeShape::List(item) => {
            text.push('[');
            type_ref(text, item);
            text.push(']');
        }
    }
    text.push_str(if ty.is_required { "!" } else { "" });
}

fn value(text: &mut String, written: &Value) {
    match &written.kind {
        ValueKind::Number(number) => text.push_str(number),
        ValueKind::Text(string) => text.push_str(&quote(&string.value, '"')),
        ValueKind::Name(name) => {
            let is_keyword = ["true", "false", "null"].iter().any(|word| name.eq_ignore_ascii_case(word));
            text.push_str(&if is_keyword { name.to_ascii_lowercase() } else { name.to_string() });
        }
        ValueKind::Variable(name) => {
            let _ = write!(text, "${name}");
        }
        ValueKind::List(items) => {
            text.push('[');
            for (index, item) in items.iter().enumerate() {
                text.push_str(if index > 0 { " " } else { "" });
                value(text, item);
            }
            text.push(']');
        }
        ValueKind::Object(items) => {
            text.push('{');
            entries(text, items);
            text.push('}');
        }
    }
}
