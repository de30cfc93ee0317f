//! Times as C's `ctime` writes them, which is how the original chat stamps what is said.
//!
//! Decides nothing: English names, the day padded with a blank, no line end.
#![deny(clippy::arithmetic_side_effects)]

use alloc::format;
use alloc::string::String;

const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];

/// The months with their days; February gets its leap day elsewhere.
const MONTHS: [(&str, i64); 12] = [
    ("Jan", 31),
    ("Feb", 28),
    ("Mar", 31),
    ("Apr", 30),
    ("May", 31),
    ("Jun", 30),
    ("Jul", 31),
    ("Aug", 31),
    ("Sep", 30),
    ("Oct", 31),
    ("Nov", 30),
    ("Dec", 31),
];

const DAY: i64 = 24 * 60 * 60;

/// After so many days the calendar repeats itself: 400 years.
const CYCLE: i64 = 146_097;

/// The time so many seconds after the start of 1970, as C's `ctime` writes it but without a line
/// end, on a clock that is `offset` seconds ahead of UTC.
///
/// In the years 1000 to 9999 that makes 24 bytes.
///
/// ```
/// assert_eq!(peerline_proto::ctime(1_793_523_907, 0), "Sun Nov  1 09:05:07 2026");
/// assert_eq!(peerline_proto::ctime(0, -3600), "Wed Dec 31 23:00:00 1969");
/// ```
pub fn ctime(unix: i64, offset: i32) -> String {
    let local = unix.saturating_add(i64::from(offset));
    let (days, second) = (local.div_euclid(DAY), local.rem_euclid(DAY));
    let weekday = usize::try_from(days.rem_euclid(7)).ok().and_then(|day| DAYS.get(day));
    let weekday = weekday.copied().unwrap_or_default();
    let (year, month, day) = date(days);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{weekday} {month} {day:>2} {hour:02}:{minute:02}:{second:02} {year}")
}

/// Year, month and day of the month of a day counted from the start of 1970.
fn date(days: i64) -> (i64, &'static str, i64) {
    let mut year = days.div_euclid(CYCLE).saturating_mul(400).saturating_add(1970);
    let mut left = days.rem_euclid(CYCLE);
    while left >= days_of(year) {
        left = left.saturating_sub(days_of(year));
        year = year.saturating_add(1);
    }
    for (month, days) in MONTHS {
        let days = if month == "Feb" { days_of(year).saturating_sub(337) } else { days };
        if left < days {
            return (year, month, left.saturating_add(1));
        }
        left = left.saturating_sub(days);
    }
    (year, "Dec", 31) // not reached: the months make up the year
}

fn days_of(year: i64) -> i64 {
    if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) { 366 } else { 365 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_read_as_c_writes_them() {
        for (unix, expected) in [
            (0, "Thu Jan  1 00:00:00 1970"),
            (-1, "Wed Dec 31 23:59:59 1969"),
            (-2_203_891_200, "Thu Mar  1 00:00:00 1900"),
            (-2_203_891_201, "Wed Feb 28 23:59:59 1900"),
            (951_782_399, "Mon Feb 28 23:59:59 2000"),
            (951_782_400, "Tue Feb 29 00:00:00 2000"),
            (951_868_800, "Wed Mar  1 00:00:00 2000"),
            (1_000_000_000, "Sun Sep  9 01:46:40 2001"),
            (1_793_523_907, "Sun Nov  1 09:05:07 2026"),
            (1_795_190_140, "Fri Nov 20 15:55:40 2026"),
            (4_107_542_399, "Sun Feb 28 23:59:59 2100"),
            (4_107_542_400, "Mon Mar  1 00:00:00 2100"),
            (4_133_980_799, "Fri Dec 31 23:59:59 2100"),
            (253_402_300_799, "Fri Dec 31 23:59:59 9999"),
            (253_402_300_800, "Sat Jan  1 00:00:00 10000"),
        ] {
            assert_eq!(ctime(unix, 0), expected);
        }
    }

    #[test]
    fn the_offset_moves_the_clock() {
        assert_eq!(ctime(1_795_190_140, 3600), "Fri Nov 20 16:55:40 2026");
        assert_eq!(ctime(0, -1), "Wed Dec 31 23:59:59 1969");
        assert_eq!(ctime(951_782_399, 19_800), "Tue Feb 29 05:29:59 2000");
        assert_eq!(ctime(0, i32::MAX), ctime(i64::from(i32::MAX), 0));
        assert_eq!(ctime(0, i32::MIN), ctime(i64::from(i32::MIN), 0));
    }

    #[test]
    fn every_time_has_a_date() {
        assert!(ctime(i64::MAX, 0).ends_with(" 292277026596"), "{}", ctime(i64::MAX, 0));
        assert_eq!(ctime(i64::MAX, i32::MAX), ctime(i64::MAX, 0));
        assert!(ctime(i64::MIN, i32::MIN).ends_with(" -292277022657"), "{}", ctime(i64::MIN, 0));
    }

    #[test]
    fn from_1000_to_9999_every_time_has_24_bytes() {
        for day in (-354_285..2_932_896).step_by(37) {
            assert_eq!(ctime(day * 86_400, 0).len(), 24, "{}", ctime(day * 86_400, 0));
        }
    }
}
