//! The disk with Debian on it.

use super::tools::Tools;
use crate::{
    Failure,
    step::{root, run as step},
};
use std::{
    fs,
    path::{Path, PathBuf},
};

const SUITE: &str = "bookworm";
/// What is installed beside the smallest system that there is.
const PACKAGES: &str = "systemd,systemd-sysv,udev,linux-image-cloud-amd64,dbus,procps";
/// Size of the disk; what is not written takes no room.
const BYTES: u64 = 2 << 30;

/// The files of a finished disk, in the machine's folder.
pub const DISK: &str = "debian.img";
pub const KERNEL: &str = "kernel";
pub const INITRD: &str = "initrd";

/// Makes the disk, unless it was made from the same list of packages and the same files.
pub fn ready(tools: &Tools, folder: &Path) -> Result<(), Failure> {
    let customize = root().join("tests/vm/customize");
    let made_from = folder.join("debian.made-from");
    let wanted = [
        format!("{SUITE} {PACKAGES} {BYTES}\n"),
        read(&customize)?,
        read(&root().join("tests/vm/bulkhead-vm.service"))?,
    ];
    let wanted = wanted.concat();
    let whole = [DISK, KERNEL, INITRD].iter().all(|file| folder.join(file).exists());
    if whole && fs::read_to_string(&made_from).is_ok_and(|text| text == wanted) {
        return Ok(());
    }
    let failed = |e: std::io::Error| format!("{}: {e}", folder.display());
    let _ = fs::remove_file(&made_from);

    // ext2, since that can be made without privilege; it is mounted by the driver of ext4.
    let new = "debian.ext2";
    let mut make = tools.command("mmdebstrap", folder);
    make.args(["--variant=minbase", "--format=ext2"]).arg(format!("--include={PACKAGES}"));
    make.arg("--customize-hook").arg(&customize);
    make.args(["--customize-hook=download /boot/kernel kernel", "--customize-hook=download /boot/initrd initrd"]);
    make.args([SUITE, new]).args(sources(Path::new("/etc/apt")));
    step(make)?;

    let file = fs::OpenOptions::new().write(true).open(folder.join(new)).map_err(failed)?;
    file.set_len(BYTES).map_err(failed)?;
    drop(file);
    let mut grow = tools.command("resize2fs", folder);
    // -f: it asks for a check first, of a file system that has never been mounted.
    grow.args(["-f", new]);
    step(grow)?;
    fs::rename(folder.join(new), folder.join(DISK)).map_err(failed)?;
    fs::write(&made_from, wanted).map_err(failed)
}

fn read(path: &Path) -> Result<String, Failure> {
    fs::read_to_string(path).map_err(|e| format!("{}: {e}", path.display()))
}

/// This machine's own files of package sources for the suite. Where there is none, mmdebstrap has a default of its own.
fn sources(apt: &Path) -> Vec<PathBuf> {
    let mut files = vec![apt.join("sources.list")];
    let more = fs::read_dir(apt.join("sources.list.d")).into_iter().flatten().flatten();
    files.extend(more.map(|entry| entry.path()));
    files.retain(|file| match file.extension().and_then(|ending| ending.to_str()) {
        Some("list" | "sources") => fs::read_to_string(file).is_ok_and(|text| offers_suite(&text)),
        _ => false,
    });
    files.sort();
    files
}

/// Whether a file of sources, in either format of sources.list(5), has the suite's main component.
fn offers_suite(text: &str) -> bool {
    let stated = text.lines().map(str::trim).filter(|line| !line.starts_with('#'));
    let says = |words: &str, word: &str| words.split_whitespace().any(|w| w == word);
    let one_line = stated.clone().any(|line| line.starts_with("deb ") && says(line, SUITE) && says(line, "main"));
    let field = |name: &str, word| {
        stated.clone().filter_map(|line| line.strip_prefix(name)?.strip_prefix(':')).any(|words| says(words, word))
    };
    one_line || (field("Suites", SUITE) && field("Components", "main"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_of_the_suite_are_told_from_others() {
        assert!(offers_suite("deb http://mirror.example/debian bookworm main"));
        assert!(offers_suite(
            "# ours\nTypes: deb\nURIs: http://mirror.example\nSuites: bookworm bookworm-updates\nComponents: main\n"
        ));
        assert!(!offers_suite("# deb http://mirror.example/debian bookworm main"));
        assert!(!offers_suite("deb http://vendor.example/apt tools-bookworm main"));
        assert!(!offers_suite("deb http://vendor.example/apt bookworm stable"));
        assert!(!offers_suite("Types: deb\nSuites: nodistro\nComponents: main"));
    }
}
