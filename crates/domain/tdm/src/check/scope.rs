//! Which names an expression may use where, and their types (TG 4.3).

use std::collections::BTreeMap;
use std::sync::Arc;

use marram_diag::{Diagnostic, Severity};
use marram_expr::{DataType, Expr, Type, TypeScope, ValueExpr};
use smol_str::SmolStr;

use super::context::Context;
use crate::codes::*;
use crate::model::Urn;
use crate::syntax::ast::Value;

/// Visible root names of one position.
#[derive(Clone, Debug, Default)]
pub(crate) struct Scope {
    /// By lower-case name.
    names: BTreeMap<SmolStr, Type>,
    has_short_math: bool,
}

/// Members of `systemRuntime`: deviceId is documented, the others are ours.
const RUNTIME: [&str; 7] = ["deviceId", "executionId", "flowId", "systemId", "deploymentId", "stepName", "now"];
/// Members of `systemConfig`.
const CONFIG: [&str; 3] = ["awsRegion", "awsAccountId", "accountId"];

fn record(members: &[&str]) -> Type {
    let text = |name: &&str| (SmolStr::new(name), Type::Of(DataType::String));
    Type::Record(Arc::new(members.iter().map(text).collect()))
}

impl Scope {
    /// Nothing visible but the library.
    pub fn empty() -> Self {
        Scope::default()
    }

    /// `systemRuntime` and `systemConfig`.
    pub fn system() -> Self {
        Scope::empty().with("systemRuntime", record(&RUNTIME)).with("systemConfig", record(&CONFIG))
    }

    /// `systemConfig` alone, for triggers.
    pub fn config() -> Self {
        Scope::empty().with("systemConfig", record(&CONFIG))
    }

    pub fn with(mut self, name: &str, ty: Type) -> Self {
        self.add(name, ty);
        self
    }

    /// Adds a name; answers the type of the one it hides.
    pub fn add(&mut self, name: &str, ty: Type) -> Option<Type> {
        self.names.insert(SmolStr::new(name.to_ascii_lowercase()), ty)
    }

    /// Undoes [`Self::add`].
    pub fn restore(&mut self, name: &str, hidden: Option<Type>) {
        match hidden {
            Some(ty) => {
                self.add(name, ty);
            }
            None => {
                self.names.remove(name.to_ascii_lowercase().as_str());
            }
        }
    }

    pub fn with_short_math(mut self) -> Self {
        self.has_short_math = true;
        self
    }

    pub fn has(&self, name: &str) -> bool {
        self.root(name).is_some()
    }
}

impl TypeScope for Scope {
    fn root(&self, name: &str) -> Option<Type> {
        self.names.get(name.to_ascii_lowercase().as_str()).cloned()
    }

    fn allows_short_math(&self) -> bool {
        self.has_short_math
    }
}

impl Context<'_> {
    /// The static type of a value of `property`.
    pub fn value_type(&self, property: &Urn, is_list: bool) -> Type {
        match self.property_type(property) {
            Some(ty) if is_list => Type::Of(DataType::List(Box::new(ty.data_type.clone()))),
            Some(ty) => Type::Of(ty.data_type.clone()),
            None => Type::Unknown,
        }
    }

    /// Checks `expr` and answers its static type. An unknown name is `unknown_code`, everything else TDM3019.
    pub fn check_expr(&mut self, expr: &Expr, scope: &dyn TypeScope, at: &Value, unknown_code: &'static str) -> Type {
        let (ty, found) = marram_expr::check(expr, scope);
        for finding in found {
            let code = if finding.message.starts_with("unknown name") { unknown_code } else { TDM3019 };
            let span = self.place_in(at, finding.span.start as usize);
            let diagnostic = Diagnostic::error(code, span, finding.message);
            let severity = if finding.is_error { Severity::Error } else { Severity::Warning };
            self.findings.push(Diagnostic { severity, ..diagnostic });
        }
        ty
    }

    /// [`Self::check_expr`] over every expression of a value. `$word` outside the scope is the text itself.
    pub fn check_value(
        &mut self,
        value: &mut ValueExpr,
        scope: &dyn TypeScope,
        at: &Value,
        unknown_code: &'static str,
    ) -> Type {
        if let ValueExpr::Variable { path, text } = value
            && path.roots().iter().any(|root| scope.root(root).is_none())
        {
            *value = ValueExpr::Literal(text.clone());
        }
        match value {
            ValueExpr::Typed(expr) | ValueExpr::Variable { path: expr, .. } => {
                self.check_expr(expr, scope, at, unknown_code)
            }
            ValueExpr::Template(template) => {
                for expr in template.exprs() {
                    self.check_expr(expr, scope, at, unknown_code);
                }
                Type::Of(DataType::String)
            }
            ValueExpr::Literal(_) => Type::Of(DataType::String),
        }
    }
}
