//! System metrics from `/proc` (CR 7.4).

use std::fs;

/// One look at the system.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Sample {
    /// Jiffies since boot: busy and all.
    pub(crate) cpu: (u64, u64),
    /// Megabytes in use.
    pub(crate) memory: f64,
    /// Open files of all processes.
    pub(crate) files: f64,
}

impl Sample {
    /// Now; parts the system does not tell are zero.
    pub(crate) fn now() -> Self {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        Sample {
            cpu: cpu(&read("/proc/stat")).unwrap_or_default(),
            memory: memory(&read("/proc/meminfo")).unwrap_or_default(),
            files: read("/proc/sys/fs/file-nr")
                .split_whitespace()
                .next()
                .and_then(|word| word.parse().ok())
                .unwrap_or_default(),
        }
    }

    /// Share of the processors in use between two looks, percent.
    pub(crate) fn cpu_usage(&self, earlier: &Sample) -> Option<f64> {
        let all = self.cpu.1.checked_sub(earlier.cpu.1).filter(|all| *all > 0)?;
        let busy = self.cpu.0.checked_sub(earlier.cpu.0)?;
        Some(busy as f64 * 100.0 / all as f64)
    }
}

fn cpu(stat: &str) -> Option<(u64, u64)> {
    let line = stat.lines().find(|line| line.starts_with("cpu "))?;
    let numbers: Vec<u64> = line.split_whitespace().skip(1).take(8).map_while(|word| word.parse().ok()).collect();
    let all: u64 = numbers.iter().sum();
    let idle = numbers.get(3)? + numbers.get(4)?;
    Some((all - idle, all))
}

fn memory(meminfo: &str) -> Option<f64> {
    let value = |name: &str| -> Option<f64> {
        let line = meminfo.lines().find_map(|line| line.strip_prefix(name))?;
        line.trim().trim_end_matches("kB").trim().parse().ok()
    };
    Some((value("MemTotal:")? - value("MemAvailable:")?) / 1024.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_forms_of_proc() {
        let first = cpu("cpu  10 0 10 60 20 0 0 0 0 0\ncpu0 1 1 1 1").unwrap();
        assert_eq!(first, (20, 100));
        let sample = |cpu| Sample { cpu, memory: 0.0, files: 0.0 };
        assert_eq!(sample((45, 150)).cpu_usage(&sample(first)), Some(50.0));
        assert_eq!(sample(first).cpu_usage(&sample((45, 150))), None, "counters that went back say nothing");
        assert_eq!(memory("MemTotal:  2048 kB\nMemFree: 1 kB\nMemAvailable:   1024 kB\n"), Some(1.0));
        assert_eq!(cpu("nothing"), None);
    }
}
