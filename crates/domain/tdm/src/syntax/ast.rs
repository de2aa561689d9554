//! The syntax tree (TG 2.2). Equality ignores places, so two trees are equal when they say the same.

use marram_diag::Span;
use smol_str::SmolStr;

use super::token::Token;

/// A place in the source. All places are equal.
#[derive(Clone, Copy, Debug, Default)]
pub struct Place(pub Span);

impl PartialEq for Place {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

/// A parsed document.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Document {
    /// Whether an outer pair of braces wraps the definitions.
    pub is_wrapped: bool,
    /// In source order.
    pub definitions: Vec<Definition>,
    /// Every token of the source, trivia included.
    pub(crate) tokens: Tokens,
}

/// The token list; not part of what a document says.
#[derive(Clone, Debug, Default)]
pub struct Tokens(pub Vec<Token>);

impl PartialEq for Tokens {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Document {
    /// Every token of the source, trivia included, without gaps.
    pub fn tokens(&self) -> &[Token] {
        &self.tokens.0
    }
}

/// A word and its place.
#[derive(Clone, Debug, PartialEq)]
pub struct Name {
    /// As written.
    pub text: SmolStr,
    /// Where.
    pub place: Place,
}

impl Name {
    /// Compares ignoring case.
    pub fn is(&self, word: &str) -> bool {
        self.text.eq_ignore_ascii_case(word)
    }

    /// Where it stands.
    pub fn span(&self) -> Span {
        self.place.0
    }
}

/// A definition.
#[derive(Clone, Debug, PartialEq)]
pub struct Definition {
    /// A string before the keyword.
    pub description: Option<Text>,
    /// The name after the keyword.
    pub name: Name,
    /// Directives of the header, in order.
    pub directives: Vec<Directive>,
    /// What follows.
    pub body: Body,
    /// The keyword.
    pub keyword: Place,
    /// Keyword to closing brace.
    pub place: Place,
    /// The slice of TG 2.4: `place` with the comment block above it.
    pub slice: Place,
}

impl Definition {
    /// The directive of that name, ignoring case.
    pub fn directive(&self, name: &str) -> Option<&Directive> {
        self.directives.iter().find(|directive| directive.name.is(name))
    }
}

/// The three forms of definition.
#[derive(Clone, Debug, PartialEq)]
pub enum Body {
    /// `type`.
    Type {
        /// `implements` references.
        implements: Vec<Interface>,
        /// The field block.
        fields: Vec<Field>,
    },
    /// `query`.
    Query {
        /// `($name: T = default)`.
        variables: Vec<VariableDefinition>,
        /// The selection set.
        selections: Vec<Selection>,
    },
    /// `enum`.
    Enum {
        /// The members.
        members: Vec<Member>,
    },
}

/// A name after `implements` with its directives.
#[derive(Clone, Debug, PartialEq)]
pub struct Interface {
    /// The type name; informational.
    pub name: Name,
    /// `@stateType(id)` and the like.
    pub directives: Vec<Directive>,
}

/// A field of a `type`.
#[derive(Clone, Debug, PartialEq)]
pub struct Field {
    /// A string before the name.
    pub description: Option<Text>,
    /// The name.
    pub name: Name,
    /// Arguments; no construct uses them.
    pub arguments: Option<Arguments>,
    /// The type word.
    pub ty: TypeRef,
    /// Directives.
    pub directives: Vec<Directive>,
}

impl Field {
    /// The directive of that name, ignoring case.
    pub fn directive(&self, name: &str) -> Option<&Directive> {
        self.directives.iter().find(|directive| directive.name.is(name))
    }

    /// Whether it is the empty-body marker `ignore: void`.
    pub fn is_ignore_marker(&self) -> bool {
        self.name.is("ignore") && matches!(&self.ty.shape, TypeShape::Named(word) if word.is("void"))
    }
}

/// A member of an `enum`.
#[derive(Clone, Debug, PartialEq)]
pub struct Member {
    /// The name.
    pub name: Name,
    /// Directives.
    pub directives: Vec<Directive>,
}

/// A parameter of a `query`.
#[derive(Clone, Debug, PartialEq)]
pub struct VariableDefinition {
    /// Without the `$`.
    pub name: Name,
    /// The type.
    pub ty: TypeRef,
    /// After `=`.
    pub default: Option<Value>,
    /// Directives.
    pub directives: Vec<Directive>,
}

/// A type reference.
#[derive(Clone, Debug, PartialEq)]
pub struct TypeRef {
    /// Name or list.
    pub shape: TypeShape,
    /// `!`.
    pub is_required: bool,
    /// Where.
    pub place: Place,
}

/// A name or a list.
#[derive(Clone, Debug, PartialEq)]
pub enum TypeShape {
    /// `T`.
    Named(Name),
    /// `[T]`.
    List(Box<TypeRef>),
}

impl TypeRef {
    /// The word inside all brackets.
    pub fn word(&self) -> &Name {
        match &self.shape {
            TypeShape::Named(name) => name,
            TypeShape::List(item) => item.word(),
        }
    }

    /// Whether it is `[..]`.
    pub fn is_list(&self) -> bool {
        matches!(self.shape, TypeShape::List(_))
    }
}

/// A selection of a `query`.
#[derive(Clone, Debug, PartialEq)]
pub struct Selection {
    /// `alias:`.
    pub alias: Option<Name>,
    /// The name.
    pub name: Name,
    /// `(..)`, possibly empty.
    pub arguments: Option<Arguments>,
    /// Directives.
    pub directives: Vec<Directive>,
    /// `{..}`, possibly empty.
    pub selections: Option<Vec<Selection>>,
    /// First to last token.
    pub place: Place,
}

impl Selection {
    /// The nested selections; none when the block is absent.
    pub fn children(&self) -> &[Selection] {
        self.selections.as_deref().unwrap_or_default()
    }

    /// The directive of that name, ignoring case.
    pub fn directive(&self, name: &str) -> Option<&Directive> {
        self.directives.iter().find(|directive| directive.name.is(name))
    }

    /// The last argument of that name, ignoring case.
    pub fn argument(&self, name: &str) -> Option<&Argument> {
        self.arguments.as_ref().and_then(|arguments| arguments.get(name))
    }

    /// Where its name stands.
    pub fn span(&self) -> Span {
        self.name.span()
    }
}

/// `@name(..)`.
#[derive(Clone, Debug, PartialEq)]
pub struct Directive {
    /// Without the `@`.
    pub name: Name,
    /// `(..)`, possibly empty.
    pub arguments: Option<Arguments>,
    /// From `@` to the last token.
    pub place: Place,
}

impl Directive {
    /// The last argument of that name, ignoring case.
    pub fn argument(&self, name: &str) -> Option<&Argument> {
        self.arguments.as_ref().and_then(|arguments| arguments.get(name))
    }

    /// All arguments in order.
    pub fn items(&self) -> &[Argument] {
        self.arguments.as_ref().map_or(&[], |arguments| &arguments.items)
    }
}

/// `(name: value ..)`; names may repeat.
#[derive(Clone, Debug, PartialEq)]
pub struct Arguments {
    /// In order.
    pub items: Vec<Argument>,
    /// Parenthesis to parenthesis.
    pub place: Place,
}

impl Arguments {
    /// The last argument of that name, ignoring case.
    pub fn get(&self, name: &str) -> Option<&Argument> {
        self.items.iter().rfind(|argument| argument.name.is(name))
    }
}

/// `name: value`.
#[derive(Clone, Debug, PartialEq)]
pub struct Argument {
    /// The name.
    pub name: Name,
    /// The value.
    pub value: Value,
}

/// A string literal.
#[derive(Clone, Debug, PartialEq)]
pub struct Text {
    /// Escapes resolved.
    pub value: SmolStr,
    /// Written as `"""..."""`.
    pub is_block: bool,
    /// With the quotes.
    pub place: Place,
}

/// A value and its place.
#[derive(Clone, Debug, PartialEq)]
pub struct Value {
    /// What it is.
    pub kind: ValueKind,
    /// Where it stands.
    pub place: Place,
}

impl Value {
    /// Where it stands.
    pub fn span(&self) -> Span {
        self.place.0
    }

    /// The text of a string or a bare name.
    pub fn as_text(&self) -> Option<&SmolStr> {
        match &self.kind {
            ValueKind::Text(text) => Some(&text.value),
            ValueKind::Name(name) => Some(name),
            _ => None,
        }
    }
}

/// The shapes of a value.
#[derive(Clone, Debug, PartialEq)]
pub enum ValueKind {
    /// As written.
    Number(SmolStr),
    /// A string literal.
    Text(Text),
    /// A bare word: `true`, `false`, `null` in any case, or the word itself as text.
    Name(SmolStr),
    /// `$name`.
    Variable(SmolStr),
    /// `[..]`.
    List(Vec<Value>),
    /// `{name: value ..}`.
    Object(Vec<Argument>),
}
