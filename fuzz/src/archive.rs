//! Archives of artifacts: whatever they hold, nothing lands outside of their folder, and no more than was allowed.

use std::path::Path;

/// One archive per input.
pub fn run(data: &[u8]) {
    // In memory where the machine has such a folder: a fuzzer should not wear a disk out.
    let memory = Path::new("/dev/shm");
    let parent = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
    let folder = parent.join(format!("marram-fuzz-archive-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder for archives");
    marram_deployer::fuzz_archive(data, &folder);
    let _ = std::fs::remove_dir_all(&folder);
}
