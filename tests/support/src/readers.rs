//! Other readers of the lake, in Python.

use std::env;
use std::path::PathBuf;

use crate::Unavailable;

/// The Python that has the readers of `tests/requirements.txt`; `make test` installs it.
///
/// # Errors
/// When it is not there.
pub fn readers_python() -> Result<PathBuf, Unavailable> {
    let of = |name: &str| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let cache = of("XDG_CACHE_HOME").or_else(|| of("HOME").map(|home| home.join(".cache")));
    cache
        .map(|cache| cache.join("tripline/venv-tests/bin/python"))
        .filter(|python| python.is_file())
        .ok_or_else(|| Unavailable::new("the readers are not installed: `make readers` does it"))
}
