//! Moments as pages show them: in words beside now, with the date for whoever asks. No page knows the reader's time zone without a
//! script, so dates are in UTC and say so.

/// A moment, for `<time datetime="{{ when.iso }}" title="{{ when.date }}">{{ when.words }}</time>`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct When {
    /// As machines read it: `2026-11-22T08:15:00Z`.
    pub(crate) iso: String,
    /// As people do: `22 Nov 2026, 08:15 UTC`.
    pub(crate) date: String,
    /// Beside now: `3 minutes ago`, `in 5 days`.
    pub(crate) words: String,
}

const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const DAY: u64 = 86_400;
/// The last second of the year 9999: what is later is for ever.
const LAST: u64 = 253_402_300_799;

/// The Unix second `at`, seen at `now`.
pub(crate) fn when(at: u64, now: u64) -> When {
    let at = at.min(LAST);
    let (year, month, day) = date(at / DAY);
    let (hour, minute, second) = (at % DAY / 3600, at % 3600 / 60, at % 60);
    let name = usize::try_from(month - 1).ok().and_then(|month| MONTHS.get(month)).copied().unwrap_or_default();
    When {
        iso: format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z"),
        date: format!("{day} {name} {year}, {hour:02}:{minute:02} UTC"),
        words: match at.abs_diff(now) {
            0..60 => "now".to_owned(),
            apart if at < now => format!("{} ago", span(apart)),
            // To the nearest: seven days are so many a second after they began.
            apart => format!("in {}", span(apart + unit(apart) / 2)),
        },
    }
}

/// A length of time in its largest unit.
pub fn span(seconds: u64) -> String {
    let unit = unit(seconds);
    let name = match unit {
        60 => "minute",
        3600 => "hour",
        _ => "day",
    };
    let count = seconds / unit;
    format!("{count} {name}{}", if count == 1 { "" } else { "s" })
}

/// The largest of minutes, hours and days that a length of time has.
fn unit(seconds: u64) -> u64 {
    match seconds {
        0..3600 => 60,
        3600..DAY => 3600,
        _ => DAY,
    }
}

/// Year, month and day of a day since 1970 in the Gregorian calendar: eras of 400 years, each of whose years begins in March, so that
/// the day that only some years have comes last.
fn date(day: u64) -> (u64, u64, u64) {
    let shifted = day + 719_468;
    let (era, of_era) = (shifted / 146_097, shifted % 146_097);
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let march_month = (5 * of_year + 2) / 153;
    let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
    let of_month = of_year - (153 * march_month + 2) / 5 + 1;
    (year + era * 400 + u64::from(month <= 2), month, of_month)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_what_calendars_say() {
        for (at, iso) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_399, "2000-02-28T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (951_868_800, "2000-03-01T00:00:00Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
            (1_795_335_301, "2026-11-22T08:15:01Z"),
            (u64::MAX, "9999-12-31T23:59:59Z"),
        ] {
            assert_eq!(when(at, 0).iso, iso);
        }
        assert_eq!(when(1_795_335_301, 0).date, "22 Nov 2026, 08:15 UTC");
        let words = |at: u64| when(at, 1_000_000).words;
        assert_eq!((words(1_000_000), words(999_941)), ("now".to_owned(), "now".to_owned()));
        assert_eq!((words(999_940), words(1_007_200)), ("1 minute ago".to_owned(), "in 2 hours".to_owned()));
        assert_eq!(
            (words(1_000_000 - 3 * DAY), words(999_999 + 7 * DAY)),
            ("3 days ago".to_owned(), "in 7 days".to_owned())
        );
        assert_eq!(words(1_000_000 + 3599), "in 1 hour");
    }
}
