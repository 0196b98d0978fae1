//! Which keys are allowed, in every store alike: what passes in a test's memory passes in S3 and in
//! a folder.

use super::error::{ErrorKind, StoreError, place};

/// Bytes in a whole key, S3's 1,024 less room for the store's own prefix.
const MAX_KEY_BYTES: usize = 900;

/// Bytes in one component: the limit of the usual file systems.
const MAX_COMPONENT_BYTES: usize = 255;

/// Where [`FolderStore`](super::FolderStore) keeps what is not an object.
pub(super) const TMP: &str = "_tripline/tmp";
pub(super) const UPLOADS: &str = "_tripline/uploads";
pub(super) const LOCK: &str = "_tripline/lock";

/// Refuses a key that is not portable; see [`ObjectStore`](super::ObjectStore) for the rule.
pub(super) fn check_key(action: &'static str, location: &str, key: &str) -> Result<(), StoreError> {
    fault_in(key).map_or(Ok(()), |fault| Err(invalid(action, location, key, fault)))
}

/// Refuses a listing prefix below which no valid key can be; empty is the whole store.
pub(super) fn check_prefix(action: &'static str, location: &str, prefix: &str) -> Result<(), StoreError> {
    let whole = prefix.strip_suffix('/').unwrap_or(prefix);
    if prefix.is_empty() {
        return Ok(());
    }
    fault_in(whole).map_or(Ok(()), |fault| Err(invalid(action, location, prefix, fault)))
}

/// Refuses a prefix that does not name a folder.
pub(super) fn check_folder(action: &'static str, location: &str, prefix: &str) -> Result<(), StoreError> {
    if !prefix.is_empty() && !prefix.ends_with('/') {
        return Err(invalid(action, location, prefix, "a folder's prefix ends in '/'"));
    }
    check_prefix(action, location, prefix)
}

fn fault_in(key: &str) -> Option<&'static str> {
    if key.len() > MAX_KEY_BYTES {
        return Some("the key has more than 900 bytes");
    }
    if key.chars().any(char::is_control) {
        return Some("the key has a control character");
    }
    for component in key.split('/') {
        match component {
            "" => return Some("the key is empty or has an empty component"),
            "." | ".." => return Some("the key has a component '.' or '..'"),
            _ if component.len() > MAX_COMPONENT_BYTES => {
                return Some("the key has a component of more than 255 bytes");
            }
            _ => {}
        }
    }
    is_own(key).then_some("the key is one of the folder store's own files")
}

/// Whether a path belongs to the folder store and not to its objects.
pub(super) fn is_own(path: &str) -> bool {
    [TMP, UPLOADS, LOCK]
        .iter()
        .any(|own| path.strip_prefix(own).is_some_and(|rest| rest.is_empty() || rest.starts_with('/')))
}

fn invalid(action: &'static str, location: &str, key: &str, fault: &str) -> StoreError {
    StoreError::new(
        ErrorKind::Invalid,
        action,
        place(location, &key.escape_debug().to_string()),
        fault,
        "use another name",
    )
}
