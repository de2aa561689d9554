//! `Principal` and `NotPrincipal`: whom a resource or trust policy speaks of.
//!
//! Source: control-plane-api.md sections 3.2 and 3.5.

use smol_str::SmolStr;

/// Who makes the request that is decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Requester<'a> {
    /// Twelve digits.
    pub account: &'a str,
    /// `arn:aws:iam::…:user/anna`, `arn:aws:sts::…:assumed-role/Fleet/anna`, `…:root`, or a service's host name.
    pub arn: &'a str,
    /// The role behind a session: `arn:aws:iam::…:role/path/Fleet`.
    pub role_arn: Option<&'a str>,
    /// The host name when one of our services acts: `iotthingsgraph.amazonaws.com`.
    pub service: Option<&'a str>,
    /// The account's root: limited by guardrails only.
    pub root: bool,
}

impl<'a> Requester<'a> {
    /// A user or another principal without a role.
    pub fn user(account: &'a str, arn: &'a str) -> Requester<'a> {
        Requester { account, arn, role_arn: None, service: None, root: false }
    }

    /// A session of a role.
    pub fn session(account: &'a str, arn: &'a str, role_arn: &'a str) -> Requester<'a> {
        Requester { role_arn: Some(role_arn), ..Requester::user(account, arn) }
    }

    /// One of our services, working for `account`.
    pub fn service(account: &'a str, host: &'a str) -> Requester<'a> {
        Requester { service: Some(host), ..Requester::user(account, host) }
    }

    /// The root of an account.
    pub fn root(account: &'a str, arn: &'a str) -> Requester<'a> {
        Requester { root: true, ..Requester::user(account, arn) }
    }
}

/// How closely a policy names the requester; greater is closer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Naming {
    /// Its account: the account's own policies must allow too.
    Account,
    /// Everyone.
    Anyone,
    /// Its service host name.
    Service,
    /// The role of its session.
    Role,
    /// Its own user or session ARN.
    Itself,
}

/// A compiled `Principal` element.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Principals(pub(crate) Vec<Named>);

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Named {
    Everyone,
    Account(SmolStr),
    Arn(SmolStr),
    Service(SmolStr),
    /// Kept, so that documents round trip; nobody signs in this way yet.
    Federated(SmolStr),
}

impl Named {
    /// Reads one value of `Principal.AWS`.
    pub(crate) fn parse_aws(text: &str) -> Option<Named> {
        if text == "*" {
            return Some(Named::Everyone);
        }
        if text.len() == 12 && text.bytes().all(|b| b.is_ascii_digit()) {
            return Some(Named::Account(text.into()));
        }
        let fields: Vec<&str> = text.splitn(6, ':').collect();
        let ["arn", _, service, "", account, resource] = fields.as_slice() else { return None };
        let account_ok = account.len() == 12 && account.bytes().all(|b| b.is_ascii_digit());
        if !account_ok || text.contains(['*', '?', '$']) {
            return None;
        }
        let named = |prefix: &str| resource.strip_prefix(prefix).is_some_and(|name| !name.is_empty());
        match *service {
            "iam" if *resource == "root" => Some(Named::Account((*account).into())),
            "iam" if named("user/") || named("role/") => Some(Named::Arn(text.into())),
            "sts" if named("assumed-role/") || named("federated-user/") => Some(Named::Arn(text.into())),
            _ => None,
        }
    }

    fn naming(&self, requester: &Requester<'_>) -> Option<Naming> {
        match self {
            Named::Everyone => Some(Naming::Anyone),
            Named::Service(host) => (requester.service == Some(host.as_str())).then_some(Naming::Service),
            // A service works for an account, but is not a principal of it.
            _ if requester.service.is_some() => None,
            Named::Account(account) => (requester.account == account.as_str()).then_some(Naming::Account),
            Named::Arn(arn) if requester.arn == arn.as_str() => Some(Naming::Itself),
            Named::Arn(arn) => (requester.role_arn == Some(arn.as_str())).then_some(Naming::Role),
            Named::Federated(_) => None,
        }
    }
}

impl Principals {
    /// The closest way in which the list names the requester.
    pub(crate) fn naming(&self, requester: &Requester<'_>) -> Option<Naming> {
        self.0.iter().filter_map(|named| named.naming(requester)).max()
    }

    /// Whether a `NotPrincipal` list spares the requester: it must name the account, the role of a session, and the
    /// requester itself, so that leaving one out denies.
    pub(crate) fn spares(&self, requester: &Requester<'_>) -> bool {
        let names = |arn: &str| self.0.iter().any(|named| matches!(named, Named::Arn(listed) if listed == arn));
        let everyone = self.0.contains(&Named::Everyone);
        if let Some(host) = requester.service {
            return everyone || self.0.iter().any(|named| matches!(named, Named::Service(listed) if listed == host));
        }
        let account = self.0.iter().any(|named| matches!(named, Named::Account(listed) if listed == requester.account));
        let itself = requester.root || names(requester.arn);
        everyone || (account && itself && requester.role_arn.is_none_or(names))
    }
}
