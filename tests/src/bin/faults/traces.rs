//! What a host may leave, and when it has to be gone.

use bulkhead_tests::left::cgroups_of;
use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

/// Where one lane's brokers work: their cache, their directory for temporary files, their policies.
pub struct Place {
    pub cache: PathBuf,
    pub temporary: PathBuf,
    pub site: PathBuf,
}

impl Place {
    /// Makes the folders.
    pub fn make(folder: &Path) -> std::io::Result<Place> {
        let place = Place { cache: folder.join("cache"), temporary: folder.join("tmp"), site: folder.join("site") };
        for folder in [&place.temporary, &place.site] {
            fs::create_dir_all(folder)?;
        }
        Ok(place)
    }

    /// Files that only a broker at work may have: in the cache those that are being written, and whatever is in the directory for
    /// temporary ones.
    pub fn unfinished(&self) -> BTreeSet<PathBuf> {
        let list = |folder: &Path| fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
        let is_new = |path: &PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(".new-"));
        list(&self.cache).filter(is_new).chain(list(&self.temporary)).collect()
    }
}

/// What killed brokers left, that the next one has to remove.
#[derive(Default)]
pub struct Traces {
    brokers: Vec<i32>,
    files: BTreeSet<PathBuf>,
    /// Brokers that left a cgroup, and files that were left, in all.
    pub cgroups: u64,
    pub files_in_all: u64,
}

impl Traces {
    /// A broker was killed.
    pub fn note(&mut self, broker: i32, place: &Place) {
        if !cgroups_of(broker).is_empty() {
            self.cgroups += 1;
            self.brokers.push(broker);
        }
        let files = place.unfinished();
        self.files_in_all += files.difference(&self.files).count() as u64;
        self.files.extend(files);
    }

    /// What is still there, now that another one was made.
    pub fn leftovers(&mut self) -> Vec<String> {
        let cgroups = std::mem::take(&mut self.brokers).into_iter().flat_map(cgroups_of);
        let files = std::mem::take(&mut self.files).into_iter().filter(|path| path.exists());
        cgroups.chain(files).map(|path| path.display().to_string()).collect()
    }
}

/// How many mounts this process sees.
pub fn mounts() -> usize {
    fs::read_to_string("/proc/self/mountinfo").unwrap_or_default().lines().count()
}
