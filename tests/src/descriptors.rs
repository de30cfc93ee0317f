//! How many files a test may have open.

/// Sees to it that this process may have `count` open files, as far as the system lets it.
///
/// # Errors
/// A text that says what to do, if it does not.
#[cfg(unix)]
pub fn allow(count: u64) -> Result<(), String> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current.is_none_or(|current| current >= count) {
        return Ok(());
    }
    if maximum.is_some_and(|maximum| maximum < count) {
        return Err(format!(
            "the tests need {count} open files, and the hard limit is {}: raise it (`ulimit -Hn`)",
            maximum.unwrap_or_default()
        ));
    }
    let wanted = Rlimit { current: Some(count), maximum };
    setrlimit(Resource::Nofile, wanted).map_err(|error| format!("{count} open files: {error}"))
}

/// Lets this process open no file with a number of `count` or above.
///
/// # Errors
/// What the system says.
#[cfg(unix)]
pub fn limit(count: u64) -> std::io::Result<()> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    Ok(setrlimit(Resource::Nofile, Rlimit { current: Some(count), maximum })?)
}

/// Elsewhere there is no such limit.
///
/// # Errors
/// None.
#[cfg(not(unix))]
pub fn allow(_count: u64) -> Result<(), String> {
    Ok(())
}
