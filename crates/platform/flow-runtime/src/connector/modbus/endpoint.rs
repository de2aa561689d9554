//! Where a Modbus server is: `host:port`, or a serial line, `rtu:/dev/ttyS1?baud=19200&parity=even` (TG 10.3, CC 15.5).

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use smol_str::SmolStr;

/// What tells a serial line from a host.
const RTU_PREFIX: &str = "rtu:";
/// Where serial devices are; nothing else is opened.
const DEVICES: &str = "/dev/";
/// Bits a second unless said otherwise: the adapter's default (CC 15.5).
const DEFAULT_BAUD: u32 = 9_600;
/// Slowest and fastest line.
const BAUD_RANGE: std::ops::RangeInclusive<u32> = 300..=4_000_000;
/// How long a unit on a serial line may think before it counts as silent (CC 15.5).
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(1);
/// Bounds of that time, milliseconds.
const TIMEOUT_MILLIS: std::ops::RangeInclusive<u64> = 20..=60_000;
/// From this speed on the silence between frames is fixed (Modbus over Serial Line 1.02, 2.5.1.1).
const FIXED_SILENCE_BAUD: u32 = 19_200;
/// That fixed silence.
const FIXED_SILENCE: Duration = Duration::from_micros(1_750);

/// A Modbus server's address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ModbusEndpoint {
    /// `host:port`.
    Tcp(SmolStr),
    /// A serial line.
    Rtu(SerialSettings),
}

/// A serial line and how it is driven: 8 data bits always, as RTU wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SerialSettings {
    /// The device.
    pub path: PathBuf,
    /// Bits a second.
    pub baud: u32,
    /// Parity.
    pub parity: Parity,
    /// Two stop bits instead of one.
    pub is_two_stop_bits: bool,
    /// How long a unit may take to answer.
    pub timeout: Duration,
}

/// Parity of a serial line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Parity {
    /// No parity bit.
    None,
    /// Even.
    Even,
    /// Odd.
    Odd,
}

/// Why a text is no endpoint.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EndpointError {
    /// Not `host:port`.
    #[error("`{0}` is not host:port")]
    Host(SmolStr),
    /// Not a device file.
    #[error("`{0}` is not a path below {DEVICES}")]
    Device(SmolStr),
    /// An option that is not known, or a value out of range.
    #[error("`{0}` is not an option of a serial line: baud, parity=none|even|odd, stop=1|2, timeout in milliseconds")]
    Option(SmolStr),
}

impl FromStr for ModbusEndpoint {
    type Err = EndpointError;

    fn from_str(text: &str) -> Result<Self, EndpointError> {
        if let Some(line) = text.strip_prefix(RTU_PREFIX) {
            return SerialSettings::parse(line).map(Self::Rtu);
        }
        let is_endpoint = text.rsplit_once(':').is_some_and(|(host, port)| {
            !host.is_empty() && !host.contains('/') && port.parse::<u16>().is_ok_and(|port| port != 0)
        });
        if is_endpoint { Ok(Self::Tcp(text.into())) } else { Err(EndpointError::Host(text.into())) }
    }
}

impl SerialSettings {
    fn parse(text: &str) -> Result<Self, EndpointError> {
        let (path, options) = text.split_once('?').unwrap_or((text, ""));
        let is_device = path.len() > DEVICES.len()
            && path.starts_with(DEVICES)
            && path.split('/').all(|part| part != "..")
            && !path.contains('\0');
        if !is_device {
            return Err(EndpointError::Device(path.into()));
        }
        let mut settings = Self {
            path: path.into(),
            baud: DEFAULT_BAUD,
            parity: Parity::None,
            is_two_stop_bits: false,
            timeout: DEFAULT_TIMEOUT,
        };
        for option in options.split('&').filter(|option| !option.is_empty()) {
            let refused = || EndpointError::Option(option.into());
            let (name, value) = option.split_once('=').ok_or_else(refused)?;
            match name {
                "baud" => {
                    settings.baud = value.parse().ok().filter(|baud| BAUD_RANGE.contains(baud)).ok_or_else(refused)?;
                }
                "parity" => {
                    settings.parity = match value {
                        "none" | "N" => Parity::None,
                        "even" | "E" => Parity::Even,
                        "odd" | "O" => Parity::Odd,
                        _ => return Err(refused()),
                    };
                }
                "stop" => {
                    settings.is_two_stop_bits = match value {
                        "1" => false,
                        "2" => true,
                        _ => return Err(refused()),
                    };
                }
                "timeout" => {
                    let millis = value.parse().ok().filter(|millis| TIMEOUT_MILLIS.contains(millis));
                    settings.timeout = Duration::from_millis(millis.ok_or_else(refused)?);
                }
                _ => return Err(refused()),
            }
        }
        Ok(settings)
    }

    /// The silence that ends a frame: three and a half characters.
    pub(crate) fn silence(&self) -> Duration {
        if self.baud > FIXED_SILENCE_BAUD {
            return FIXED_SILENCE;
        }
        let bits = 9 + u32::from(self.parity != Parity::None) + if self.is_two_stop_bits { 2 } else { 1 };
        Duration::from_secs_f64(3.5 * f64::from(bits) / f64::from(self.baud))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// TG 10.3, CC 15.5: the forms of an endpoint, the adapter's defaults, and what is refused by name.
    #[test]
    fn endpoints_are_read() {
        assert_eq!("10.0.0.5:502".parse(), Ok(ModbusEndpoint::Tcp("10.0.0.5:502".into())));
        assert_eq!("[::1]:502".parse(), Ok(ModbusEndpoint::Tcp("[::1]:502".into())));
        let plain = SerialSettings {
            path: "/dev/ttyS1".into(),
            baud: 9_600,
            parity: Parity::None,
            is_two_stop_bits: false,
            timeout: Duration::from_secs(1),
        };
        assert_eq!("rtu:/dev/ttyS1".parse(), Ok(ModbusEndpoint::Rtu(plain.clone())));
        let tuned = SerialSettings {
            baud: 115_200,
            parity: Parity::Even,
            is_two_stop_bits: true,
            timeout: Duration::from_millis(250),
            ..plain.clone()
        };
        let text = "rtu:/dev/ttyS1?baud=115200&parity=even&stop=2&timeout=250";
        assert_eq!(text.parse(), Ok(ModbusEndpoint::Rtu(tuned.clone())));
        assert_eq!(plain.silence(), Duration::from_secs_f64(3.5 * 10.0 / 9_600.0));
        assert_eq!(tuned.silence(), Duration::from_micros(1_750));
        for wrong in [
            "",
            "host",
            ":502",
            "host:0",
            "/dev/ttyS1:502",
            "rtu:ttyS1",
            "rtu:/dev/",
            "rtu:/dev/../etc/passwd",
            "rtu:/etc/passwd",
            "rtu:/dev/ttyS1?baud=fast",
            "rtu:/dev/ttyS1?baud=0",
            "rtu:/dev/ttyS1?parity=mark",
            "rtu:/dev/ttyS1?stop=3",
            "rtu:/dev/ttyS1?timeout=0",
            "rtu:/dev/ttyS1?colour=red",
        ] {
            assert!(wrong.parse::<ModbusEndpoint>().is_err(), "{wrong}");
        }
    }
}
