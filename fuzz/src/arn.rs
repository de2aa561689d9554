//! ARNs, names, ids and moments: whatever is accepted prints as it was read.

use marram_types::{Arn, CertificateId, ClientId, PolicyName, Region, RequestId, ThingName, Timestamp};

/// One text, tried as everything.
pub fn run(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(arn) = text.parse::<Arn>() {
        assert_eq!(arn.as_str(), text);
        let rebuilt =
            format!("arn:{}:{}:{}:{}:{}", arn.partition(), arn.service(), arn.region(), arn.account(), arn.resource());
        assert_eq!(rebuilt, text);
    }
    if let Ok(name) = text.parse::<ThingName>() {
        assert!(text.parse::<PolicyName>().is_ok() || text.contains(':'));
        assert_eq!(name.as_str(), text);
    }
    if let Ok(id) = text.parse::<CertificateId>() {
        assert_eq!(id.to_string(), text.trim_start_matches("0x"));
    }
    if let Ok(moment) = Timestamp::parse_rfc3339(text) {
        assert_eq!(Timestamp::parse_rfc3339(&moment.rfc3339()).map(Timestamp::as_secs), Ok(moment.as_secs()));
    }
    let _ =
        (text.parse::<ClientId>(), text.parse::<Region>().map(|region| region.fits_tdm()), text.parse::<RequestId>());
}
