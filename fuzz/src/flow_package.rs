//! Flow packages on their way to a core: foreign JSON until hash and signature hold.

use marram_flow_runtime::Deployment;
use marram_flow_runtime::package::{Trust, TrustedKey, open, seal};

/// The key of RFC 8032, section 7.1, test 1: nobody else signs for it.
const KEY: &str = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";

/// The bytes as a package, and as the deployment inside of one: a deployment that reads survives packing, and without the
/// right signature nothing is opened.
pub fn run(data: &[u8]) {
    let key: TrustedKey = KEY.parse().expect("a key of this test");
    let signed = Trust::Signed(vec![key]);
    if let Ok(package) = serde_json::from_slice(data) {
        let _ = open(&package, &Trust::Whole);
        assert!(open(&package, &signed).is_err(), "an unsigned package was opened");
    }
    let Ok(deployment) = serde_json::from_slice::<Deployment>(data) else { return };
    let Ok(package) = seal(&deployment, None) else { return };
    let opened = open(&package, &Trust::Whole).expect("what was packed can be opened");
    let text = |one: &Deployment| serde_json::to_value(one).ok();
    assert_eq!(text(&opened), text(&deployment));
    assert!(open(&package, &signed).is_err(), "an unsigned package was opened");
}
