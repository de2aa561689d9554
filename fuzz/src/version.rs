//! Versions and npm ranges: whatever is read must print to something that reads back the same.

use marram_version::{Requirement, Version};

/// One version or range per input.
pub fn run(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(version) = text.parse::<Version>() {
        assert_eq!(version.to_string().parse::<Version>(), Ok(version));
    }
    if let Ok(requirement) = text.parse::<Requirement>() {
        let printed = requirement.to_string();
        if printed.len() <= 1024 {
            assert_eq!(printed.parse::<Requirement>().map(|again| again.to_string()), Ok(printed));
        }
        let _ = requirement.intersects(&requirement);
    }
}
