//! The work of `bench pipeline` as plain consumer programs do it on other servers, beside ours, in one
//! run. Each server is started here, on the disk that is measured, at its best honest configuration, and
//! stopped. Never a verdict. What differs in what is promised: runtime/docs/bench.md.
mod jetstream;
mod redis_streams;
mod server;
mod trial;

use std::path::Path;

use anyhow::{Context, Result, bail};
use tokio::signal::unix::{SignalKind, signal};

use self::{
    server::Program,
    trial::{LOAD, RECORDS, Trial},
};
use super::{
    pipeline,
    report::{Section, Unit},
    rig::{IDENTITY, Rig},
};

/// A system that does the same work, if it is installed.
struct Peer {
    /// Its keys begin with it.
    key: &'static str,
    name: &'static str,
    /// The file of its server, and on Debian its package.
    program: &'static str,
    /// How it is installed elsewhere.
    link: &'static str,
    found: Option<Program>,
}

/// Those that there are, one at least.
pub(super) struct Peers {
    nats: Peer,
    redis: Peer,
}

impl Peer {
    fn missing(&self) -> Option<String> {
        let Self { name, program, link, .. } = self;
        let text = format!("{program} is not installed, so {name} is not measured");
        let how = format!("Debian: apt install {program}; else {link}");
        self.found.is_none().then(|| format!("{text} ({how})"))
    }

    fn described(&self) -> Option<String> {
        self.found.as_ref().map(|found| format!("{} {}", self.name, found.version))
    }
}

impl Peers {
    /// # Errors
    /// None is installed.
    pub(super) fn find() -> Result<Self> {
        let nats = Peer {
            key: "nats",
            name: "NATS JetStream",
            program: "nats-server",
            link: "https://docs.nats.io/running-a-nats-service/introduction/installation",
            found: Program::find("nats-server")?,
        };
        let redis = Peer {
            key: "redis",
            name: "Redis Streams",
            program: "redis-server",
            link: "https://redis.io/docs/latest/operate/oss_and_stack/install/",
            found: Program::find("redis-server")?,
        };
        let peers = Self { nats, redis };
        if peers.all().iter().all(|peer| peer.found.is_none()) {
            bail!("there is no peer to measure:\n{}", peers.missing().join("\n"));
        }
        Ok(peers)
    }

    /// A line for each that is not there, with how to install it.
    pub(super) fn missing(&self) -> Vec<String> {
        self.all().into_iter().filter_map(Peer::missing).collect()
    }

    fn all(&self) -> [&Peer; 2] {
        [&self.nats, &self.redis]
    }
}

pub(super) async fn measure(rig: &Rig, folder: &Path) -> Result<Section> {
    // Whoever ends this must not leave servers behind: they end when what is under way is dropped.
    let mut terminated = signal(SignalKind::terminate()).context("listen for signals")?;
    tokio::select! {
        section = all(rig, folder) => section,
        _ = tokio::signal::ctrl_c() => bail!("interrupted"),
        _ = terminated.recv() => bail!("terminated"),
    }
}

async fn all(rig: &Rig, folder: &Path) -> Result<Section> {
    let peers = Peers::find()?;
    let Peers { nats, redis } = &peers;
    let nats_trials = match &nats.found {
        Some(found) => jetstream::measure(found, folder).await.context("measure NATS JetStream")?,
        None => Vec::new(),
    };
    let redis_trials = match &redis.found {
        Some(found) => {
            redis_streams::measure(found, folder).await.context("measure Redis Streams")?
        }
        None => Vec::new(),
    };
    rig.function("identity", IDENTITY).await?;
    let usual = pipeline::Shape::USUAL;
    let ours = pipeline::run(rig, "100b", usual, LOAD, pipeline::RECORDS).await?;

    let beside: Vec<_> = peers.all().into_iter().filter_map(Peer::described).collect();
    let about = format!(
        "pass on {} k records of 100 B in batches of 1,000, beside {}",
        RECORDS / 1_000,
        beside.join(" and ")
    );
    let mut section = Section::new("peers", about);
    section.add("millstream", "Millstream", ours.per_second, Unit::PerSecond);
    section.beside("exactly once, each settlement synced");
    section.add("millstream_cores", "  cores used", ours.cores, Unit::Times);
    for (peer, trials) in [(nats, nats_trials), (redis, redis_trials)] {
        let best = report(&mut section, peer, &trials);
        let key = format!("millstream_of_{}", peer.key);
        let label = format!("  Millstream of {}", peer.name);
        section.add(&key, &label, ours.per_second / best, Unit::Times);
    }
    Ok(section)
}

/// Its figures, the best trial first. Gives that one's records a second.
fn report(section: &mut Section, peer: &Peer, trials: &[Trial]) -> f64 {
    let best = trials.iter().max_by(|one, other| one.per_second.total_cmp(&other.per_second));
    let per_second = best.map_or(f64::NAN, |trial| trial.per_second);
    section.add(peer.key, peer.name, per_second, Unit::PerSecond);
    match best {
        Some(best) => section.beside(format!("the best trial: {}", best.label)),
        None => section.beside("not installed"),
    }
    let cores = best.map_or(f64::NAN, |trial| trial.cores);
    section.add(&format!("{}_cores", peer.key), "  cores used", cores, Unit::Times);
    for trial in trials {
        let key = format!("{}_{}", peer.key, trial.key);
        section.add(&key, &format!("  {}", trial.label), trial.per_second, Unit::PerSecond);
    }
    per_second
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer() -> Peer {
        Peer {
            key: "nats",
            name: "NATS JetStream",
            program: "nats-server",
            link: "https://docs.nats.io",
            found: None,
        }
    }

    fn trial(key: &str, label: &str, per_second: f64) -> Trial {
        Trial { key: key.to_owned(), label: label.to_owned(), per_second, cores: 1.5 }
    }

    #[test]
    fn the_best_trial_stands_for_a_peer_and_says_which_it_was() {
        let mut section = Section::new("peers", "");
        let trials = [trial("1", "1 consumer", 90_000.0), trial("4", "4 consumers", 120_000.0)];
        assert!((report(&mut section, &peer(), &trials) - 120_000.0).abs() < 1e-9);
        let keys: Vec<_> = section.figures.iter().map(|figure| figure.key.as_str()).collect();
        let expected =
            ["nats_per_second", "nats_cores_ratio", "nats_1_per_second", "nats_4_per_second"];
        assert_eq!(keys, expected);
        assert_eq!(section.figures[0].beside.as_deref(), Some("the best trial: 4 consumers"));
    }

    #[test]
    fn a_peer_that_is_not_installed_is_told_with_how_to_install_it() {
        let mut section = Section::new("peers", "");
        assert!(report(&mut section, &peer(), &[]).is_nan());
        let text = "nats-server is not installed, so NATS JetStream is not measured \
                    (Debian: apt install nats-server; else https://docs.nats.io)";
        assert_eq!(peer().missing().as_deref(), Some(text));
        assert!(section.figures.iter().all(|figure| figure.value.is_nan()));
    }
}
