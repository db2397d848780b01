//! The directory that the demo's data lies in: given, or fresh and said aloud. Never what is in it.
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use tempfile::TempDir;

use super::{DemoArgs, screen::Screen};

/// Where the data is.
#[derive(Debug)]
pub(super) enum Data {
    Given(PathBuf),
    Fresh(TempDir),
}

impl Data {
    pub(super) fn choose(args: &DemoArgs) -> Result<Self> {
        if let Some(given) = &args.data {
            return Ok(Self::Given(given.clone()));
        }
        let fresh = tempfile::Builder::new().prefix("millstream-demo-").tempdir();
        Ok(Self::Fresh(fresh.context("make a temporary directory (or give one: --data DIR)")?))
    }

    pub(super) fn path(&self) -> &Path {
        match self {
            Self::Given(path) => path,
            Self::Fresh(folder) => folder.path(),
        }
    }

    /// Says where it is and how long it stays.
    pub(super) fn words(&self, once: bool) -> String {
        let path = self.path().display();
        match self {
            Self::Given(_) => format!("Data in {path}"),
            Self::Fresh(_) if once => format!("Data in {path}, removed at the end"),
            Self::Fresh(_) => format!("Data in {path}, kept at the end"),
        }
    }

    /// A directory that was given stays in any case.
    pub(super) fn leave(self, removes: bool, screen: &mut Screen) {
        let Self::Fresh(folder) = self else { return };
        if removes {
            drop(folder);
            return;
        }
        let path = folder.keep();
        screen.note(&format!("The data stays in {}", path.display()));
    }
}
