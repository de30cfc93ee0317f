//! Times as C's `ctime` writes them, which is how the original chat stamps what is said.
//!
//! Decides nothing: English names, UTC, the day padded with a blank, no line end.

const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];

/// The months with their days; February gets its leap day elsewhere.
const MONTHS: [(&str, u64); 12] = [
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

const DAY: u64 = 24 * 60 * 60;

/// After so many days the calendar repeats itself: 400 years.
const CYCLE: u64 = 146_097;

/// The time so many seconds after the start of 1970.
pub(crate) fn ctime(unix: u64) -> String {
    let (days, seconds) = (unix / DAY, unix % DAY);
    let weekday = DAYS.into_iter().cycle().nth(usize::try_from(days % 7).unwrap_or(0));
    let weekday = weekday.unwrap_or_default();
    let (year, month, day) = date(days);
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    format!("{weekday} {month} {day:>2} {hour:02}:{minute:02}:{second:02} {year}")
}

/// Year, month and day of the month of a day counted from the start of 1970.
fn date(days: u64) -> (u64, &'static str, u64) {
    let (mut year, mut left) = (1970 + days / CYCLE * 400, days % CYCLE);
    while left >= 365 + leap_day(year) {
        left -= 365 + leap_day(year);
        year += 1;
    }
    for (month, days) in MONTHS {
        let days = if month == "Feb" { days + leap_day(year) } else { days };
        if left < days {
            return (year, month, left + 1);
        }
        left -= days;
    }
    (year, "Dec", 31) // not reached: the months make up the year
}

fn leap_day(year: u64) -> u64 {
    u64::from(year % 4 == 0 && (year % 100 != 0 || year % 400 == 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_read_as_c_writes_them() {
        for (unix, expected) in [
            (0, "Thu Jan  1 00:00:00 1970"),
            (951_782_399, "Mon Feb 28 23:59:59 2000"),
            (951_782_400, "Tue Feb 29 00:00:00 2000"),
            (951_868_800, "Wed Mar  1 00:00:00 2000"),
            (1_000_000_000, "Sun Sep  9 01:46:40 2001"),
            (1_795_190_140, "Fri Nov 20 15:55:40 2026"),
            (4_107_542_399, "Sun Feb 28 23:59:59 2100"),
            (4_107_542_400, "Mon Mar  1 00:00:00 2100"),
            (4_133_980_799, "Fri Dec 31 23:59:59 2100"),
        ] {
            assert_eq!(ctime(unix), expected);
        }
    }

    #[test]
    fn the_end_of_time_has_a_date_too() {
        assert!(ctime(u64::MAX).ends_with(" 584554051223"), "{}", ctime(u64::MAX));
    }
}
