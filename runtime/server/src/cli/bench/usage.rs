//! What this process, its guests and the machine used, as Linux counts it. 0 where it does not.
use std::{fmt::Display, fs, time::Duration};

/// CPU time so far. Two of them tell what was used in between.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Usage {
    /// All threads of this process.
    pub(super) process: Duration,
    /// Those of them that run guests.
    pub(super) guests: Duration,
    /// What no process of the machine used, all cores.
    pub(super) idle: Duration,
}

impl Usage {
    pub(super) fn now() -> Self {
        Self { process: cpu_time(), guests: guests(), idle: idle() }
    }

    pub(super) fn since(self, before: Self) -> Self {
        Self {
            process: self.process.saturating_sub(before.process),
            guests: self.guests.saturating_sub(before.guests),
            idle: self.idle.saturating_sub(before.idle),
        }
    }
}

/// CPU time of this process so far, all threads.
pub(super) fn cpu_time() -> Duration {
    cpu_time_of("self")
}

/// That of a process by its id.
pub(super) fn cpu_time_of(process: impl Display) -> Duration {
    of_stat(&fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default())
}

/// What another process has in memory, files that it maps included, in bytes.
pub(super) fn resident_of(pid: u32) -> u64 {
    kib_of(&fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default(), "VmRSS:") << 10
}

/// What this process holds in memory of its own, in bytes: files that are mapped do not count.
pub(super) fn resident_bytes() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    kib_of(&status, "RssAnon:") << 10
}

fn kib_of(status: &str, name: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    let kib = line.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok());
    kib.unwrap_or(0)
}

/// By the name of their threads.
fn guests() -> Duration {
    let threads = fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let stats = threads.filter_map(|thread| fs::read_to_string(thread.path().join("stat")).ok());
    stats.filter(|stat| stat.contains(" (guest) ")).map(|stat| of_stat(&stat)).sum()
}

/// Of `/proc/[…]/stat`.
fn of_stat(stat: &str) -> Duration {
    // Behind the name, which may hold anything, up to its `)`: the 12th and 13th field.
    let rest = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    ticks(rest.split_whitespace().skip(11).take(2))
}

/// Of `/proc/stat`: what waits for a disk is idle, too.
fn idle() -> Duration {
    let stat = fs::read_to_string("/proc/stat").unwrap_or_default();
    ticks(stat.lines().next().unwrap_or_default().split_whitespace().skip(4).take(2))
}

/// In 100ths of a second, as Linux has it on all machines that we run on.
fn ticks<'a>(fields: impl Iterator<Item = &'a str>) -> Duration {
    let hundredths: u64 = fields.filter_map(|field| field.parse::<u64>().ok()).sum();
    Duration::from_millis(hundredths * 10)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    #[test]
    fn cpu_time_goes_on() {
        let before = Usage::now();
        let began = Instant::now();
        while began.elapsed() < Duration::from_millis(60) {
            std::hint::black_box(cpu_time());
        }
        let used = Usage::now().since(before);
        assert!(used.process > Duration::ZERO && used.guests == Duration::ZERO, "{used:?}");
    }

    #[test]
    fn what_is_written_to_is_resident() {
        let before = resident_bytes();
        let block = std::hint::black_box(vec![1_u8; 64 << 20]);
        assert!(resident_bytes() >= before + (48 << 20), "{before} of {}", block.len());
    }
}
