//! The credential scope `{date}/{region}/{service}/aws4_request` and the two spellings of a signing time.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

/// A signing time, whole seconds since the epoch, with the `yyyymmddThhmmssZ` text that enters the string to sign.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AmzTime {
    seconds: i64,
    text: String,
}

impl AmzTime {
    /// The time `seconds` after the epoch; `None` outside the years 0001 to 9999.
    pub fn from_epoch(seconds: i64) -> Option<AmzTime> {
        let civil = Timestamp::from_second(seconds).ok()?.to_zoned(TimeZone::UTC).datetime();
        if civil.year() < 1 {
            return None;
        }
        let text = format!(
            "{:04}{:02}{:02}T{:02}{:02}{:02}Z",
            civil.year(),
            civil.month(),
            civil.day(),
            civil.hour(),
            civil.minute(),
            civil.second()
        );
        Some(AmzTime { seconds, text })
    }

    /// Reads `yyyymmddThhmmssZ`, the only form of `X-Amz-Date`.
    pub fn parse_basic(text: &str) -> Option<AmzTime> {
        let bytes = text.as_bytes();
        if bytes.len() != 16 || bytes.get(8) != Some(&b'T') || bytes.get(15) != Some(&b'Z') {
            return None;
        }
        let number = |from: usize, to: usize| -> Option<i16> {
            let digits = text.get(from..to)?;
            if !digits.bytes().all(|b| b.is_ascii_digit()) {
                return None;
            }
            digits.parse().ok()
        };
        let small = |from: usize, to: usize| number(from, to).and_then(|n| i8::try_from(n).ok());
        let civil =
            DateTime::new(number(0, 4)?, small(4, 6)?, small(6, 8)?, small(9, 11)?, small(11, 13)?, small(13, 15)?, 0)
                .ok()?;
        let seconds = civil.to_zoned(TimeZone::UTC).ok()?.timestamp().as_second();
        Some(AmzTime { seconds, text: text.to_owned() })
    }

    /// Reads a `Date` header: the basic form, or an HTTP date such as `Sun, 30 Aug 2015 12:36:00 GMT`.
    pub fn parse_date_header(text: &str) -> Option<AmzTime> {
        if let Some(time) = AmzTime::parse_basic(text) {
            return Some(time);
        }
        let parsed = jiff::fmt::rfc2822::parse(text).ok()?;
        AmzTime::from_epoch(parsed.timestamp().as_second())
    }

    /// Seconds since the epoch.
    pub fn seconds(&self) -> i64 {
        self.seconds
    }

    /// `yyyymmddThhmmssZ`.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// `yyyymmdd`.
    pub fn date(&self) -> &str {
        self.text.get(..8).unwrap_or_default()
    }
}

/// What a signature is good for. All three parts are the signer's claim until the signature is verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scope {
    /// `yyyymmdd`.
    pub date: String,
    /// For example `eu-west-1`.
    pub region: String,
    /// The signing name, for example `iotthingsgraph`.
    pub service: String,
}

impl Scope {
    /// The text of the scope as it stands in the string to sign.
    pub fn text(&self) -> String {
        [self.date.as_str(), "/", &self.region, "/", &self.service, "/aws4_request"].concat()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// CP 2.1: the two spellings of the signing time name the same second.
    #[test]
    fn basic_and_http_dates_agree() {
        let basic = AmzTime::parse_basic("20150830T123600Z").unwrap();
        let http = AmzTime::parse_date_header("Sun, 30 Aug 2015 12:36:00 GMT").unwrap();
        assert_eq!(basic, http);
        assert_eq!(basic.seconds(), 1_440_938_160);
        assert_eq!(AmzTime::from_epoch(1_440_938_160).unwrap(), basic);
        assert_eq!(basic.date(), "20150830");
    }

    #[test]
    fn crooked_dates_are_refused() {
        for text in
            ["", "20150830T123600", "20150830 123600Z", "20151330T123600Z", "2015083éT12360Z", "+0150830T123600Z"]
        {
            assert_eq!(AmzTime::parse_basic(text), None, "{text}");
        }
    }
}
