//! The `iot` service: its state and the table from operation to function.

use std::sync::Arc;

use marram_aws_api::{ApiError, Operation, ServiceId};
use marram_identity::{BoxFuture, CallContext, Service};
use marram_pki::CertificateAuthority;
use serde_json::Value;

use crate::change::ChangeFeed;
use crate::endpoint::Endpoints;
use crate::input::Input;
use crate::membership::{MembershipWatch, MembershipWatches};
use crate::page::Tokens;
use crate::{ca, certificate, endpoint, policy, role_alias, tag, thing, thing_group, thing_type};

/// Life of certificates issued to devices: one year (SEC 12.1, baseline).
pub const DEFAULT_DEVICE_CERTIFICATE_SECS: i64 = 365 * 86_400;

/// Non-blank characters of a policy document (CP 4.6).
pub const DEFAULT_MAX_POLICY_CHARS: usize = 2048;

/// What a registry needs to know.
#[derive(Clone, Debug)]
pub struct RegistryOptions {
    /// Issues device certificates.
    pub authority: Arc<CertificateAuthority>,
    /// What `DescribeEndpoint` answers.
    pub endpoints: Endpoints,
    /// Life of issued device certificates, in seconds.
    pub device_certificate_secs: i64,
    /// Non-blank characters of a policy document.
    pub max_policy_chars: usize,
}

impl RegistryOptions {
    /// Defaults with this authority and these host names.
    pub fn new(authority: Arc<CertificateAuthority>, endpoints: Endpoints) -> Self {
        Self {
            authority,
            endpoints,
            device_certificate_secs: DEFAULT_DEVICE_CERTIFICATE_SECS,
            max_policy_chars: DEFAULT_MAX_POLICY_CHARS,
        }
    }
}

/// The registry of things, certificates and policies: service `iot`. A cheap clone.
#[derive(Clone, Debug)]
pub struct Registry {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    options: RegistryOptions,
    tokens: Tokens,
    changes: ChangeFeed,
    memberships: Arc<MembershipWatches>,
}

impl Registry {
    /// A registry; its tables must have been migrated ([`crate::MIGRATIONS`]).
    pub fn new(options: RegistryOptions) -> Self {
        let tokens = Tokens::derived_from(options.authority.key_pem().as_bytes());
        Self { inner: Arc::new(Inner { options, tokens, changes: ChangeFeed::default(), memberships: Arc::default() }) }
    }

    /// Its options.
    pub fn options(&self) -> &RegistryOptions {
        &self.inner.options
    }

    pub(crate) fn tokens(&self) -> &Tokens {
        &self.inner.tokens
    }

    /// From now on `watch` hears of every thing that joins or leaves a group, inside the transaction.
    pub fn watch_memberships(&self, watch: Arc<dyn MembershipWatch>) {
        self.inner.memberships.add(watch);
    }

    pub(crate) fn memberships(&self) -> &Arc<MembershipWatches> {
        &self.inner.memberships
    }

    pub(crate) fn changes(&self) -> &ChangeFeed {
        &self.inner.changes
    }
}

impl Service for Registry {
    fn id(&self) -> ServiceId {
        ServiceId::Iot
    }

    fn offers(&self, operation: &'static Operation) -> bool {
        operation.service == ServiceId::Iot && OFFERED.contains(&operation.name)
    }

    fn call<'a>(
        &'a self,
        ctx: &'a CallContext,
        operation: &'static Operation,
        input: Value,
    ) -> BoxFuture<'a, Result<Value, ApiError>> {
        let input = match Input::new(input) {
            Ok(input) => input,
            Err(error) => return Box::pin(std::future::ready(Err(error))),
        };
        answer(self, ctx, operation.name, input)
    }
}

marram_identity::operations! {
    Registry, Input;
    "DescribeEndpoint" => endpoint::describe_endpoint,
    "CreateThing" => thing::create_thing,
    "DescribeThing" => thing::describe_thing,
    "UpdateThing" => thing::update_thing,
    "DeleteThing" => thing::delete_thing,
    "ListThings" => thing::list_things,
    "AttachThingPrincipal" => thing::attach_thing_principal,
    "DetachThingPrincipal" => thing::detach_thing_principal,
    "ListThingPrincipals" => thing::list_thing_principals,
    "ListThingPrincipalsV2" => thing::list_thing_principals_v2,
    "ListPrincipalThings" => thing::list_principal_things,
    "ListPrincipalThingsV2" => thing::list_principal_things_v2,
    "CreateThingType" => thing_type::create_thing_type,
    "DescribeThingType" => thing_type::describe_thing_type,
    "UpdateThingType" => thing_type::update_thing_type,
    "DeprecateThingType" => thing_type::deprecate_thing_type,
    "DeleteThingType" => thing_type::delete_thing_type,
    "ListThingTypes" => thing_type::list_thing_types,
    "CreateThingGroup" => thing_group::create_thing_group,
    "DescribeThingGroup" => thing_group::describe_thing_group,
    "UpdateThingGroup" => thing_group::update_thing_group,
    "DeleteThingGroup" => thing_group::delete_thing_group,
    "ListThingGroups" => thing_group::list_thing_groups,
    "AddThingToThingGroup" => thing_group::add_thing_to_thing_group,
    "RemoveThingFromThingGroup" => thing_group::remove_thing_from_thing_group,
    "UpdateThingGroupsForThing" => thing_group::update_thing_groups_for_thing,
    "ListThingGroupsForThing" => thing_group::list_thing_groups_for_thing,
    "ListThingsInThingGroup" => thing_group::list_things_in_thing_group,
    "CreateKeysAndCertificate" => certificate::create_keys_and_certificate,
    "CreateCertificateFromCsr" => certificate::create_certificate_from_csr,
    "RegisterCertificate" => certificate::register_certificate,
    "RegisterCertificateWithoutCA" => certificate::register_certificate_without_ca,
    "DescribeCertificate" => certificate::describe_certificate,
    "UpdateCertificate" => certificate::update_certificate,
    "DeleteCertificate" => certificate::delete_certificate,
    "ListCertificates" => certificate::list_certificates,
    "ListCertificatesByCA" => certificate::list_certificates_by_ca,
    "RegisterCACertificate" => ca::register_ca_certificate,
    "DescribeCACertificate" => ca::describe_ca_certificate,
    "UpdateCACertificate" => ca::update_ca_certificate,
    "DeleteCACertificate" => ca::delete_ca_certificate,
    "ListCACertificates" => ca::list_ca_certificates,
    "GetRegistrationCode" => ca::get_registration_code,
    "DeleteRegistrationCode" => ca::delete_registration_code,
    "CreatePolicy" => policy::create_policy,
    "GetPolicy" => policy::get_policy,
    "DeletePolicy" => policy::delete_policy,
    "ListPolicies" => policy::list_policies,
    "CreatePolicyVersion" => policy::create_policy_version,
    "GetPolicyVersion" => policy::get_policy_version,
    "ListPolicyVersions" => policy::list_policy_versions,
    "DeletePolicyVersion" => policy::delete_policy_version,
    "SetDefaultPolicyVersion" => policy::set_default_policy_version,
    "AttachPolicy" => policy::attach_policy,
    "DetachPolicy" => policy::detach_policy,
    "ListAttachedPolicies" => policy::list_attached_policies,
    "ListTargetsForPolicy" => policy::list_targets_for_policy,
    "AttachPrincipalPolicy" => policy::attach_principal_policy,
    "DetachPrincipalPolicy" => policy::detach_principal_policy,
    "ListPrincipalPolicies" => policy::list_principal_policies,
    "ListPolicyPrincipals" => policy::list_policy_principals,
    "CreateRoleAlias" => role_alias::create_role_alias,
    "DescribeRoleAlias" => role_alias::describe_role_alias,
    "UpdateRoleAlias" => role_alias::update_role_alias,
    "DeleteRoleAlias" => role_alias::delete_role_alias,
    "ListRoleAliases" => role_alias::list_role_aliases,
    "TagResource" => tag::tag_resource,
    "UntagResource" => tag::untag_resource,
    "ListTagsForResource" => tag::list_tags_for_resource,
}
