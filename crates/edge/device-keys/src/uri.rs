//! `pkcs11:` URIs (RFC 7512), as far as they choose an object and its PIN.

use std::path::PathBuf;

use percent_encoding::percent_decode_str;

/// Longest URI.
const URI_MAX: usize = 1024;

/// `type` of the URI.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ObjectType {
    /// `private`.
    Private,
    /// `cert`.
    Certificate,
}

/// Why a URI was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UriError {
    /// It has another scheme or is too long.
    #[error("not a pkcs11: URI")]
    Scheme,
    /// An attribute without `=`, twice, or not UTF-8.
    #[error("attribute `{0}` cannot be read")]
    Attribute(String),
    /// No `object`.
    #[error("the URI names no object")]
    NoObject,
    /// `type` is missing or another one.
    #[error("the URI's type is not `{0}`")]
    Type(&'static str),
}

/// An object in a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyUri {
    /// `object`: the label.
    pub label: String,
    /// `type`.
    pub kind: ObjectType,
    /// `id`.
    pub id: Option<Vec<u8>>,
    /// `slot-id`.
    pub slot: Option<u64>,
    /// `token`: the token's label.
    pub token: Option<String>,
    /// `pin-source`: a file.
    pub pin_source: Option<PathBuf>,
}

impl KeyUri {
    /// Whether `path` is such a URI at all.
    pub fn is_uri(path: &str) -> bool {
        path.get(..7).is_some_and(|scheme| scheme.eq_ignore_ascii_case("pkcs11:"))
    }

    /// Reads a URI that must name an object of this type. Attributes that choose nothing here are passed over; a
    /// `pin-value` is not used, a PIN does not belong in a path.
    ///
    /// # Errors
    /// [`UriError`].
    pub fn parse(text: &str, wanted: ObjectType) -> Result<Self, UriError> {
        if !Self::is_uri(text) || text.len() > URI_MAX {
            return Err(UriError::Scheme);
        }
        let (mut label, mut kind, mut id, mut slot, mut token, mut pin_source) = (None, None, None, None, None, None);
        for attribute in text[7..].split([';', '?', '&']).filter(|attribute| !attribute.is_empty()) {
            let bad = || UriError::Attribute(attribute.split('=').next().unwrap_or_default().to_owned());
            let (name, value) = attribute.split_once('=').ok_or_else(bad)?;
            let bytes: Vec<u8> = percent_decode_str(value).collect();
            let text = || String::from_utf8(bytes.clone()).map_err(|_| bad());
            let is_new = match name {
                "object" => label.replace(text()?).is_none(),
                "type" => kind.replace(text()?).is_none(),
                "id" => id.replace(bytes.clone()).is_none(),
                "slot-id" => slot.replace(text()?.parse().map_err(|_| bad())?).is_none(),
                "token" => token.replace(text()?).is_none(),
                "pin-source" => {
                    let path = text()?;
                    let path = path.strip_prefix("file:").unwrap_or(&path);
                    pin_source.replace(PathBuf::from(path.strip_prefix("//").unwrap_or(path))).is_none()
                }
                "pin-value" => {
                    tracing::warn!("the pin-value of a pkcs11 URI is not used; use userPin or pin-source");
                    true
                }
                _ => true,
            };
            if !is_new {
                return Err(bad());
            }
        }
        let kind = match (kind.as_deref(), wanted) {
            (Some("private"), ObjectType::Private) => ObjectType::Private,
            (Some("cert"), ObjectType::Certificate) => ObjectType::Certificate,
            (_, ObjectType::Private) => return Err(UriError::Type("private")),
            (_, ObjectType::Certificate) => return Err(UriError::Type("cert")),
        };
        let label = label.filter(|label: &String| !label.is_empty()).ok_or(UriError::NoObject)?;
        Ok(Self { label, kind, id, slot, token, pin_source })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// CC 11, SEC-50: what the original accepts, RFC 7512 besides; anything else is named.
    #[test]
    fn uris_are_read_or_refused() {
        let read = KeyUri::parse("PKCS11:object=iot%20key;type=private", ObjectType::Private).unwrap();
        assert_eq!((read.label.as_str(), read.kind), ("iot key", ObjectType::Private));
        let read = KeyUri::parse(
            "pkcs11:token=t;slot-id=7;id=%01%ff;object=k;type=cert?pin-source=file:/run/pin&module-name=x",
            ObjectType::Certificate,
        )
        .unwrap();
        assert_eq!((read.slot, read.id.as_deref(), read.token.as_deref()), (Some(7), Some(&[1, 255][..]), Some("t")));
        assert_eq!(read.pin_source, Some(PathBuf::from("/run/pin")));
        for (text, error) in [
            ("file:/key", UriError::Scheme),
            ("pkcs11:type=private", UriError::NoObject),
            ("pkcs11:object=;type=private", UriError::NoObject),
            ("pkcs11:object=k", UriError::Type("private")),
            ("pkcs11:object=k;type=cert", UriError::Type("private")),
            ("pkcs11:object=k;object=l;type=private", UriError::Attribute("object".to_owned())),
            ("pkcs11:object", UriError::Attribute("object".to_owned())),
            ("pkcs11:object=%ff;type=private", UriError::Attribute("object".to_owned())),
        ] {
            assert_eq!(KeyUri::parse(text, ObjectType::Private).unwrap_err(), error, "{text}");
        }
    }
}
