//! Names that no other process picks: temporary files, upload ids.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::process;
use std::time::{SystemTime, UNIX_EPOCH};

/// 32 hex digits. Each half is keyed anew from the operating system's randomness (that is what
/// `RandomState` is), so two machines that start at the same moment still differ.
pub(super) fn unique_id() -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let half = || {
        let mut hasher = RandomState::new().build_hasher();
        hasher.write_u128(now.as_nanos());
        hasher.write_u32(process::id());
        hasher.finish()
    };
    format!("{:016x}{:016x}", half(), half())
}
