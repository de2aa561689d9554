//! Distinguished names, as the policy variables `iot:Certificate.Subject.*` see them (CP 5.6).

use x509_parser::x509::X509Name;

/// The attribute types that have a policy variable, and everything else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RdnKind {
    /// `DistinguishedNameQualifier`, 2.5.4.46.
    DistinguishedNameQualifier,
    /// `Country`, 2.5.4.6.
    Country,
    /// `Organization`, 2.5.4.10.
    Organization,
    /// `OrganizationalUnit`, 2.5.4.11.
    OrganizationalUnit,
    /// `State`, 2.5.4.8.
    State,
    /// `CommonName`, 2.5.4.3.
    CommonName,
    /// `SerialNumber`, 2.5.4.5 (of the subject, not of the certificate).
    SerialNumber,
    /// `Title`, 2.5.4.12.
    Title,
    /// `Surname`, 2.5.4.4.
    Surname,
    /// `GivenName`, 2.5.4.42.
    GivenName,
    /// `Initials`, 2.5.4.43.
    Initials,
    /// `Pseudonym`, 2.5.4.65.
    Pseudonym,
    /// `GenerationQualifier`, 2.5.4.44.
    GenerationQualifier,
    /// An attribute no policy variable names.
    Other,
}

impl RdnKind {
    fn from_oid(oid: &[u8]) -> Self {
        match oid {
            [0x55, 0x04, 46] => Self::DistinguishedNameQualifier,
            [0x55, 0x04, 6] => Self::Country,
            [0x55, 0x04, 10] => Self::Organization,
            [0x55, 0x04, 11] => Self::OrganizationalUnit,
            [0x55, 0x04, 8] => Self::State,
            [0x55, 0x04, 3] => Self::CommonName,
            [0x55, 0x04, 5] => Self::SerialNumber,
            [0x55, 0x04, 12] => Self::Title,
            [0x55, 0x04, 4] => Self::Surname,
            [0x55, 0x04, 42] => Self::GivenName,
            [0x55, 0x04, 43] => Self::Initials,
            [0x55, 0x04, 65] => Self::Pseudonym,
            [0x55, 0x04, 44] => Self::GenerationQualifier,
            _ => Self::Other,
        }
    }

    /// The last part of the policy variable, `None` for [`RdnKind::Other`].
    pub fn variable(self) -> Option<&'static str> {
        Some(match self {
            Self::DistinguishedNameQualifier => "DistinguishedNameQualifier",
            Self::Country => "Country",
            Self::Organization => "Organization",
            Self::OrganizationalUnit => "OrganizationalUnit",
            Self::State => "State",
            Self::CommonName => "CommonName",
            Self::SerialNumber => "SerialNumber",
            Self::Title => "Title",
            Self::Surname => "Surname",
            Self::GivenName => "GivenName",
            Self::Initials => "Initials",
            Self::Pseudonym => "Pseudonym",
            Self::GenerationQualifier => "GenerationQualifier",
            Self::Other => return None,
        })
    }
}

/// One attribute of a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rdn {
    /// Which attribute.
    pub kind: RdnKind,
    /// Its text.
    pub value: String,
}

/// A distinguished name: its DER for comparisons and its attributes for policies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DistinguishedName {
    der: Vec<u8>,
    rdns: Vec<Rdn>,
}

impl DistinguishedName {
    pub(crate) fn from_x509(name: &X509Name<'_>) -> Self {
        // Values in UTF-16 or Latin-1 string types are left out: a policy must not match a guess.
        let rdns = name
            .iter_attributes()
            .filter_map(|attribute| {
                Some(Rdn {
                    kind: RdnKind::from_oid(attribute.attr_type().as_bytes()),
                    value: attribute.as_str().ok()?.to_owned(),
                })
            })
            .collect();
        Self { der: name.as_raw().to_vec(), rdns }
    }

    /// The name's DER.
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// Every readable attribute in the order of the certificate.
    pub fn rdns(&self) -> &[Rdn] {
        &self.rdns
    }

    /// The values of one attribute in the order of the certificate (index 0 first, CP 5.6).
    pub fn values(&self, kind: RdnKind) -> impl Iterator<Item = &str> {
        self.rdns.iter().filter(move |rdn| rdn.kind == kind).map(|rdn| rdn.value.as_str())
    }

    /// The first common name.
    pub fn common_name(&self) -> Option<&str> {
        self.values(RdnKind::CommonName).next()
    }
}
