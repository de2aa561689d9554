//! What a component may be called, and what its files: names that a device makes folders and configuration entries of.
//!
//! The cloud and the core ask here, each for itself: a core believes no name because somebody else let it pass.

/// Longest component name, in bytes (CR 1.2).
const MAX_NAME: usize = 128;

/// Entries of the core's own among the services of its configuration (CR 3.2). Its keys have no case.
const OWN_SERVICES: &[&str] =
    &["main", "system", "DeploymentService", "FleetStatusService", "UpdateSystemPolicyService", "TelemetryAgent"];

/// Why a name is none for a component.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ComponentNameError {
    /// Length or characters.
    #[error("`{0}` is not a component name")]
    Malformed(String),
    /// `..` would be the folder above, `.x` a hidden one, `-x` an option of a command.
    #[error("`{0}` is not a component name: it begins with `{1}`")]
    Beginning(String, char),
    /// An entry of the core's own configuration has it.
    #[error("`{0}` is the name of a part of the core itself")]
    Own(String),
}

impl ComponentNameError {
    /// What an author should do.
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::Malformed(_) => "use 1 to 128 of a-z A-Z 0-9 - _ . as in com.example.Name",
            Self::Beginning(..) => "begin with a letter or a digit, as in com.example.Name",
            Self::Own(_) => "use a name of your own, for example com.example.Name",
        }
    }
}

/// Whether `name` may be that of a component: a plain name that stays inside of any folder and is not one of the core's own. A name
/// of the vendors (`aws.`) may; who publishes one is asked elsewhere.
///
/// # Errors
/// [`ComponentNameError`].
pub fn check_component_name(name: &str) -> Result<(), ComponentNameError> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    if !(1..=MAX_NAME).contains(&name.len()) || !name.bytes().all(allowed) {
        return Err(ComponentNameError::Malformed(shown(name)));
    }
    match name.chars().next() {
        Some(first @ ('.' | '-')) => return Err(ComponentNameError::Beginning(name.to_owned(), first)),
        // Keys that begin so are never kept (CR 3.1).
        Some('_') => return Err(ComponentNameError::Own(name.to_owned())),
        _ => {}
    }
    if OWN_SERVICES.iter().any(|own| own.eq_ignore_ascii_case(name)) {
        return Err(ComponentNameError::Own(name.to_owned()));
    }
    Ok(())
}

/// Whether `name` is one file or folder strictly below whatever it is joined to: no path, not the folder itself or the one above.
pub fn is_file_name(name: &str) -> bool {
    !matches!(name, "" | "." | "..") && name.len() <= 255 && !name.contains(['/', '\\', '\0'])
}

/// The folder that an archive of this name is unpacked into: the name up to its last dot (CR 1.6). None when that would lead
/// elsewhere, as `...zip` does.
pub fn unpacked_name(file: &str) -> Option<&str> {
    let stem = match file.rfind('.') {
        None | Some(0) => file,
        Some(dot) => &file[..dot],
    };
    (is_file_name(file) && is_file_name(stem)).then_some(stem)
}

pub(crate) fn shown(text: &str) -> String {
    text.chars().take(80).flat_map(char::escape_debug).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// CR 1.2, SEC-157: every name is a folder of its own on each device, and none is an entry of the core's own.
    #[test]
    fn component_names() {
        let long = "a".repeat(MAX_NAME);
        for good in [
            "a",
            "com.example.Hello",
            "aws.greengrass.Nucleus",
            "marram.Core",
            "a..b",
            "a.",
            "a-",
            "9",
            "x_y",
            "mainly",
            "base",
            long.as_str(),
        ] {
            assert_eq!(check_component_name(good), Ok(()), "{good}");
        }
        let longer = "a".repeat(MAX_NAME + 1);
        for bad in ["", "a/b", "../a", "a b", "a\\b", "a\0", "ä", "a:b", "a\n", "*", "~", longer.as_str()] {
            assert!(matches!(check_component_name(bad), Err(ComponentNameError::Malformed(_))), "{bad}");
        }
        for bad in [".", "..", "...", ".hidden", "..a", "-x", "--", "-"] {
            assert!(matches!(check_component_name(bad), Err(ComponentNameError::Beginning(..))), "{bad}");
        }
        for bad in [
            "main",
            "MAIN",
            "System",
            "DeploymentService",
            "deploymentservice",
            "FleetStatusService",
            "UpdateSystemPolicyService",
            "TelemetryAgent",
            "_AUTHENTICATION_TOKENS",
            "_private",
        ] {
            assert_eq!(check_component_name(bad), Err(ComponentNameError::Own(bad.to_owned())), "{bad}");
        }
    }

    /// CR 1.6, SEC-157: an archive's folder lies beside the others of its component, whatever the archive is called.
    #[test]
    fn folders_of_archives() {
        for (file, folder) in
            [("app.zip", "app"), ("app", "app"), ("a.b.zip", "a.b"), (".zip", ".zip"), ("...a.zip", "...a")]
        {
            assert_eq!(unpacked_name(file), Some(folder), "{file}");
        }
        for file in ["..zip", "...zip", "..", ".", "", "a/..", "a/b.zip", "..\\x.zip", "\0.zip"] {
            assert_eq!(unpacked_name(file), None, "{file}");
        }
    }
}
