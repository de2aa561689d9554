//! What a flow's syntax tree says about steps and events, without checking it: the drawing and the edits read this.
//!
//! A *port* is a place of a step where events leave: its `outEvent`, a rule or the default of a choice, a Catch, the
//! two arms of a check. An *emission* is one event at one port, an *edge* an emission and a step that waits for it.

use std::collections::BTreeMap;

use marram_tdm::Span;
use marram_tdm::check::definition_directive;
use marram_tdm::model::{Metatype, Urn};
use marram_tdm::syntax::ast::{
    Argument, Body, Definition, Directive, Document, Selection, Value, ValueKind, VariableDefinition,
};
use smol_str::SmolStr;

/// Whether a selection is the empty-body marker `ignore: void`.
pub(crate) fn is_ignore_marker(selection: &Selection) -> bool {
    selection.alias.as_ref().is_some_and(|alias| alias.is("ignore")) && selection.name.is("void")
}

/// The selections of a block that say something.
pub(crate) fn children(block: &Selection) -> impl Iterator<Item = &Selection> {
    block.children().iter().filter(|selection| !is_ignore_marker(selection))
}

/// Definitions of one metatype with their definition directive and id.
pub(crate) fn definitions(
    document: &Document,
    wanted: Metatype,
) -> impl Iterator<Item = (&Definition, &Directive, Option<Urn>)> {
    document.definitions.iter().filter_map(move |definition| {
        let (directive, _) = definition_directive(definition).filter(|(_, metatype)| *metatype == wanted)?;
        let id = directive.argument("id").or_else(|| directive.argument("SemTypeId"));
        let urn = id.and_then(|argument| argument.value.as_text()).and_then(|text| Urn::parse(text).ok());
        Some((definition, directive, urn))
    })
}

/// A flow.
pub(crate) struct Flow<'d> {
    pub definition: &'d Definition,
    pub directive: &'d Directive,
    pub urn: Option<Urn>,
    pub parameters: &'d [VariableDefinition],
    pub variables_block: Option<&'d Selection>,
    pub steps_block: Option<&'d Selection>,
    pub steps: Vec<Step<'d>>,
}

/// What a step does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StepKind {
    Device,
    Service,
    Choice,
    Unknown,
}

/// A step.
pub(crate) struct Step<'d> {
    pub written: &'d Selection,
    /// Empty when the step has none.
    pub name: SmolStr,
    pub name_value: Option<&'d Value>,
    pub kind: StepKind,
    pub activity: Option<&'d Selection>,
    /// The one action call.
    pub call: Option<&'d Selection>,
    pub on_error: Option<&'d Selection>,
    pub on_success: Option<&'d Selection>,
    pub waits: Waits<'d>,
    pub ports: Vec<Port<'d>>,
}

/// What a step waits for.
pub(crate) enum Waits<'d> {
    /// Nothing: it runs at the start.
    Nothing,
    /// All of these.
    All { argument: &'d Argument, events: Vec<(SmolStr, &'d Value)> },
    /// An expression over events.
    Expression { argument: &'d Argument, value: &'d Value, text: SmolStr, events: Vec<SmolStr> },
}

/// Names a port within its step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PortId {
    Success,
    Rule(usize),
    Default,
    Catch(usize),
    Pass(usize),
    Fail(usize),
}

impl PortId {
    pub fn parse(text: &str) -> Option<Self> {
        let (word, number) = text.split_once(':').map_or((text, None), |(word, number)| (word, Some(number)));
        let number = match number {
            Some(number) => Some(number.parse::<usize>().ok()?),
            None => None,
        };
        Some(match (word, number) {
            ("success", None) => PortId::Success,
            ("default", None) => PortId::Default,
            ("rule", Some(number)) => PortId::Rule(number),
            ("catch", Some(number)) => PortId::Catch(number),
            ("pass", Some(number)) => PortId::Pass(number),
            ("fail", Some(number)) => PortId::Fail(number),
            _ => return None,
        })
    }

    /// The kind of the edges that leave here.
    pub fn edge_kind(self) -> &'static str {
        match self {
            PortId::Success => "success",
            PortId::Rule(_) | PortId::Default => "choice",
            PortId::Catch(_) => "error",
            PortId::Pass(_) | PortId::Fail(_) => "check",
        }
    }
}

impl std::fmt::Display for PortId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            PortId::Success => f.write_str("success"),
            PortId::Default => f.write_str("default"),
            PortId::Rule(number) => write!(f, "rule:{number}"),
            PortId::Catch(number) => write!(f, "catch:{number}"),
            PortId::Pass(number) => write!(f, "pass:{number}"),
            PortId::Fail(number) => write!(f, "fail:{number}"),
        }
    }
}

/// A place where events leave a step.
pub(crate) struct Port<'d> {
    pub id: PortId,
    pub label: String,
    pub condition: Option<SmolStr>,
    /// The rule, default, Catch or OnPass/OnFail block; the step itself for `success`.
    pub holder: Option<&'d Selection>,
    pub emissions: Vec<Emission<'d>>,
}

/// One event at one port.
pub(crate) struct Emission<'d> {
    pub event: SmolStr,
    pub written: Written<'d>,
}

/// How an emission is written.
pub(crate) enum Written<'d> {
    /// A name in `outEvent`, `raiseEvent` or `setEvent(name)`.
    Name { owner: &'d Selection, argument: &'d Argument, value: &'d Value },
    /// `stmt(expr: "$e.IsTrue = true")`.
    Statement(&'d Selection),
    /// `Catch(expr: "$e.IsTrue = true")`.
    CatchExpr { owner: &'d Selection, argument: &'d Argument },
}

impl Written<'_> {
    /// The text that emits the event.
    pub fn span(&self) -> Span {
        match self {
            Written::Name { value, .. } => value.span(),
            Written::Statement(statement) => statement.place.0,
            Written::CatchExpr { argument, .. } => argument.value.span(),
        }
    }
}

/// An emission and a step that waits for it, as indexes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Edge {
    pub source: usize,
    pub port: usize,
    pub emission: usize,
    pub target: usize,
}

/// The flows of a document, in order.
pub(crate) fn flows(document: &Document) -> Vec<Flow<'_>> {
    definitions(document, Metatype::Workflow)
        .map(|(definition, directive, urn)| Flow::new(definition, directive, urn))
        .collect()
}

impl<'d> Flow<'d> {
    fn new(definition: &'d Definition, directive: &'d Directive, urn: Option<Urn>) -> Self {
        let (parameters, selections) = match &definition.body {
            Body::Query { variables, selections } => (variables.as_slice(), selections.as_slice()),
            _ => (&[][..], &[][..]),
        };
        let block = |name: &str| selections.iter().find(|selection| selection.name.is(name));
        let steps_block = block("steps");
        let steps = steps_block.map_or(&[][..], Selection::children).iter();
        let steps = steps.filter(|step| step.name.is("step") && !is_ignore_marker(step)).map(Step::new).collect();
        let variables_block = block("variables");
        Flow { definition, directive, urn, parameters, variables_block, steps_block, steps }
    }

    pub fn name(&self) -> &'d SmolStr {
        &self.definition.name.text
    }

    /// Declared variables.
    pub fn variables(&self) -> impl Iterator<Item = &'d Selection> + use<'d> {
        self.variables_block.into_iter().flat_map(children)
    }

    pub fn step(&self, name: &str) -> Option<usize> {
        let exact = self.steps.iter().position(|step| step.name == name);
        exact.or_else(|| {
            let lower = name.to_lowercase();
            self.steps.iter().position(|step| step.name.to_lowercase() == lower)
        })
    }

    /// Steps that wait for each event, by lower-case name.
    pub fn consumers(&self) -> BTreeMap<String, Vec<usize>> {
        let mut consumers: BTreeMap<String, Vec<usize>> = BTreeMap::new();
        for (index, step) in self.steps.iter().enumerate() {
            for event in step.waits.events() {
                let waiting = consumers.entry(event.to_lowercase()).or_default();
                if waiting.last() != Some(&index) {
                    waiting.push(index);
                }
            }
        }
        consumers
    }

    /// Where each event is emitted, by lower-case name: step, port, emission.
    pub fn producers(&self) -> BTreeMap<String, Vec<(usize, usize, usize)>> {
        let mut producers: BTreeMap<String, Vec<(usize, usize, usize)>> = BTreeMap::new();
        for (source, step) in self.steps.iter().enumerate() {
            for (port, emission, event) in step.emissions() {
                producers.entry(event.to_lowercase()).or_default().push((source, port, emission));
            }
        }
        producers
    }

    /// Every event name used, in order of first use.
    pub fn events(&self) -> Vec<SmolStr> {
        let mut seen = std::collections::BTreeSet::new();
        let mut events = Vec::new();
        for step in &self.steps {
            let emitted = step.emissions().map(|(_, _, event)| event);
            for event in step.waits.events().chain(emitted) {
                if seen.insert(event.to_lowercase()) {
                    events.push(event.clone());
                }
            }
        }
        events
    }

    /// The first `most` edges in document order, and how many more there are.
    pub fn edges(&self, most: usize) -> (Vec<Edge>, usize) {
        let consumers = self.consumers();
        let (mut edges, mut omitted) = (Vec::new(), 0);
        for (source, step) in self.steps.iter().enumerate() {
            for (port, emission, event) in step.emissions() {
                let targets = consumers.get(&event.to_lowercase()).map_or(&[][..], Vec::as_slice);
                let room = most.saturating_sub(edges.len()).min(targets.len());
                omitted += targets.len() - room;
                edges.extend(targets[..room].iter().map(|target| Edge { source, port, emission, target: *target }));
            }
        }
        (edges, omitted)
    }

    pub fn edge_id(&self, edge: Edge) -> String {
        let step = &self.steps[edge.source];
        let port = &step.ports[edge.port];
        let event = &port.emissions[edge.emission].event;
        let parts = [escape(&step.name), port.id.to_string(), escape(event), escape(&self.steps[edge.target].name)];
        parts.join("|")
    }

    /// The edge of an id.
    pub fn edge(&self, id: &str) -> Option<Edge> {
        let parts: Vec<&str> = id.split('|').collect();
        let [source, port, event, target] = parts[..] else { return None };
        let source = self.step(&unescape(source))?;
        let id = PortId::parse(port)?;
        let port = self.steps[source].ports.iter().position(|port| port.id == id)?;
        let event = unescape(event).to_lowercase();
        let emissions = &self.steps[source].ports[port].emissions;
        let emission = emissions.iter().position(|emission| emission.event.to_lowercase() == event)?;
        let target = self.step(&unescape(target))?;
        let waits = self.steps[target].waits.events().any(|waited| waited.to_lowercase() == event);
        waits.then_some(Edge { source, port, emission, target })
    }
}

/// `%` and `|` written so that an id splits at its bars.
pub(crate) fn escape(name: &str) -> String {
    name.replace('%', "%25").replace('|', "%7C")
}

fn unescape(text: &str) -> String {
    text.replace("%7C", "|").replace("%25", "%")
}

impl Waits<'_> {
    pub fn events(&self) -> Box<dyn Iterator<Item = &SmolStr> + '_> {
        match self {
            Waits::Nothing => Box::new(std::iter::empty()),
            Waits::All { events, .. } => Box::new(events.iter().map(|(event, _)| event)),
            Waits::Expression { events, .. } => Box::new(events.iter()),
        }
    }

    fn new(argument: Option<&Argument>) -> Waits<'_> {
        let Some(argument) = argument else { return Waits::Nothing };
        if let Some((value, text)) = event_expression(&argument.value) {
            let parsed = marram_expr::parse_event_expr(text);
            let events = parsed.map(|parsed| parsed.events().into_iter().map(|(event, _)| event.clone()).collect());
            return Waits::Expression { argument, value, text: text.clone(), events: events.unwrap_or_default() };
        }
        let events = names(&argument.value);
        if events.is_empty() { Waits::Nothing } else { Waits::All { argument, events } }
    }
}

/// The value of an `inEvent` that is an expression: `${..}` or one with an operator.
fn event_expression(value: &Value) -> Option<(&Value, &SmolStr)> {
    match &value.kind {
        ValueKind::List(items) => match items.as_slice() {
            [only] => only.as_text().filter(|text| text.contains("${")).map(|text| (only, text)),
            _ => None,
        },
        ValueKind::Text(text) => {
            let has_operator = ["${", "&&", "||", "!", "("].iter().any(|operator| text.value.contains(operator));
            has_operator.then_some((value, &text.value))
        }
        _ => None,
    }
}

/// One name or a list of names, each with its value.
pub(crate) fn names(value: &Value) -> Vec<(SmolStr, &Value)> {
    let items = match &value.kind {
        ValueKind::List(items) => items.as_slice(),
        _ => std::slice::from_ref(value),
    };
    let named = items.iter().filter_map(|item| {
        let name = item.as_text()?.trim();
        (!name.is_empty()).then(|| (SmolStr::new(name), item))
    });
    named.collect()
}

/// The event of a statement `$event.IsTrue = true`.
fn raised(text: &str) -> Option<SmolStr> {
    let statement = marram_expr::parse_stmt(text).ok()?;
    let [event, field] = statement.target.as_slice() else { return None };
    let raises = matches!(statement.value.kind, marram_expr::ExprKind::Literal(marram_expr::Value::Bool(true)));
    (raises && field.eq_ignore_ascii_case("IsTrue")).then(|| event.clone())
}

pub(crate) fn text_of<'d>(selection: &'d Selection, argument: &str) -> Option<&'d SmolStr> {
    selection.argument(argument)?.value.as_text()
}

impl<'d> Step<'d> {
    fn new(written: &'d Selection) -> Self {
        let name_value = written.argument("name").map(|argument| &argument.value);
        let (mut on_error, mut on_success, mut activities) = (None, None, Vec::new());
        for inner in children(written) {
            if inner.name.is("OnError") {
                on_error.get_or_insert(inner);
            } else if inner.name.is("OnSuccess") {
                on_success.get_or_insert(inner);
            } else {
                activities.push(inner);
            }
        }
        let activity = match activities.as_slice() {
            [only] => Some(*only),
            _ => None,
        };
        let kind = activity.map_or(StepKind::Unknown, |activity| {
            if activity.name.is("DeviceActivity") {
                StepKind::Device
            } else if activity.name.is("WebServiceActivity") {
                StepKind::Service
            } else if activity.name.is("ChoiceActivity") {
                StepKind::Choice
            } else {
                StepKind::Unknown
            }
        });
        let call = activity.filter(|_| matches!(kind, StepKind::Device | StepKind::Service)).and_then(|activity| {
            let mut calls = children(activity);
            let first = calls.next();
            first.filter(|_| calls.next().is_none())
        });
        let mut step = Step {
            written,
            name: name_value.and_then(Value::as_text).cloned().unwrap_or_default(),
            name_value,
            kind,
            activity,
            call,
            on_error,
            on_success,
            waits: Waits::new(written.argument("inEvent")),
            ports: Vec::new(),
        };
        step.read_ports();
        step
    }

    fn read_ports(&mut self) {
        let from_list = |owner: &'d Selection, argument: Option<&'d Argument>| {
            let named = argument.into_iter().flat_map(|argument| {
                names(&argument.value).into_iter().map(move |(event, value)| (event, argument, value))
            });
            let emissions = named
                .map(|(event, argument, value)| Emission { event, written: Written::Name { owner, argument, value } });
            emissions.collect::<Vec<_>>()
        };
        self.ports.push(Port {
            id: PortId::Success,
            label: "success".to_owned(),
            condition: None,
            holder: Some(self.written),
            emissions: from_list(self.written, self.written.argument("outEvent")),
        });
        if let Some(choice) = self.activity.filter(|_| self.kind == StepKind::Choice) {
            let mut rules = 0;
            for arm in children(choice).filter(|arm| arm.name.is("rule") || arm.name.is("default")) {
                let effects = children(arm).filter(|effect| effect.name.is("setEvent"));
                let emissions = effects.flat_map(|effect| from_list(effect, effect.argument("name"))).collect();
                let is_rule = arm.name.is("rule");
                let id = if is_rule { PortId::Rule(rules) } else { PortId::Default };
                rules += usize::from(is_rule);
                let condition = text_of(arm, "expr").cloned().filter(|_| is_rule);
                let otherwise = || if is_rule { condition.clone().unwrap_or_default() } else { "otherwise".into() };
                let label = text_of(arm, "name").cloned().unwrap_or_else(otherwise).to_string();
                self.ports.push(Port { id, label, condition, holder: Some(arm), emissions });
            }
        }
        for (index, catch) in self.clauses("Catches", "Catch").into_iter().enumerate() {
            let mut emissions = from_list(catch, catch.argument("raiseEvent"));
            if let Some(argument) = catch.argument("expr")
                && let Some(event) = argument.value.as_text().and_then(|text| raised(text))
            {
                emissions.push(Emission { event, written: Written::CatchExpr { owner: catch, argument } });
            }
            let equals = catch.argument("errorEquals").map(|argument| names(&argument.value)).unwrap_or_default();
            let errors: Vec<&str> = equals.iter().map(|(name, _)| name.as_str()).collect();
            let condition = text_of(catch, "condition").cloned();
            let label =
                if errors.is_empty() { condition.clone().unwrap_or_default().to_string() } else { errors.join(", ") };
            self.ports.push(Port { id: PortId::Catch(index), label, condition, holder: Some(catch), emissions });
        }
        for (index, check) in self.checks().into_iter().enumerate() {
            let condition = text_of(check, "condition").cloned();
            for (arm_name, id) in [("OnPass", PortId::Pass(index)), ("OnFail", PortId::Fail(index))] {
                let Some(arm) = children(check).find(|arm| arm.name.is(arm_name)) else { continue };
                let statements = children(arm).filter(|statement| statement.name.is("stmt"));
                let raising = statements.filter_map(|statement| {
                    let event = raised(text_of(statement, "expr")?)?;
                    Some(Emission { event, written: Written::Statement(statement) })
                });
                let emissions = raising.collect();
                let name = text_of(check, "name").cloned().or_else(|| condition.clone()).unwrap_or_default();
                let label = if arm_name == "OnPass" { name.to_string() } else { format!("not {name}") };
                self.ports.push(Port { id, label, condition: condition.clone(), holder: Some(arm), emissions });
            }
        }
    }

    /// `Retry` or `Catch` clauses in order.
    pub fn clauses(&self, list: &str, clause: &str) -> Vec<&'d Selection> {
        let lists = self.on_error.into_iter().flat_map(children).filter(|inner| inner.name.is(list));
        lists.flat_map(children).filter(|inner| inner.name.is(clause)).collect()
    }

    /// `Check` clauses in order.
    pub fn checks(&self) -> Vec<&'d Selection> {
        self.on_success.into_iter().flat_map(children).filter(|inner| inner.name.is("Check")).collect()
    }

    /// Port, emission and event of everything it emits.
    pub fn emissions(&self) -> impl Iterator<Item = (usize, usize, &SmolStr)> {
        self.ports.iter().enumerate().flat_map(|(port, written)| {
            written.emissions.iter().enumerate().map(move |(index, emission)| (port, index, &emission.event))
        })
    }

    /// What a device or service step calls, as written: a model, device or service.
    pub fn callee(&self) -> Option<&'d Argument> {
        let activity = self.activity?;
        let name = match self.kind {
            StepKind::Device => "deviceModel",
            StepKind::Service => "webservice",
            _ => return None,
        };
        activity.argument(name)
    }

    pub fn callee_urn(&self) -> Option<Urn> {
        self.callee().and_then(|argument| Urn::parse(argument.value.as_text()?).ok())
    }

    /// The variable the result goes to, without `$` and `${}`.
    pub fn out(&self) -> Option<SmolStr> {
        let value = &self.activity?.argument("out")?.value;
        let name = match &value.kind {
            ValueKind::Variable(name) => name.clone(),
            _ => {
                let text = value.as_text()?.trim();
                let text = text.strip_prefix("${").and_then(|text| text.strip_suffix('}')).unwrap_or(text);
                SmolStr::new(text.trim().trim_start_matches('$'))
            }
        };
        (!name.is_empty()).then_some(name)
    }
}
