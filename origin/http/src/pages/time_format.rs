//! Times as pages show them. Pages run no scripts and do not know the reader's time zone, so dates
//! are in UTC and say so.

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tollgate_messages::{Messages, Value};

/// A point in time, for `<time datetime="{{ iso }}" title="{{ date }}">{{ relative }}</time>`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Moment {
    /// For machines: `2026-11-22T08:15:00Z`.
    pub(crate) iso: String,
    /// `22 Nov 2026, 08:15 UTC`, in the reader's language.
    pub(crate) date: String,
    /// `3 minutes ago`, `in 5 days`, in the reader's language.
    pub(crate) relative: String,
}

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;
/// The last second of the year 9999. Later times are shown as this one.
const MAX_SECOND: u64 = 253_402_300_799;

impl Moment {
    /// The Unix second `at`, seen at `now`.
    pub(crate) fn new(at: u64, now: u64, messages: &Messages) -> Moment {
        let at = at.min(MAX_SECOND);
        let time = utc(at);
        let date = messages
            .text("time-date")
            .with("day", u64::from(time.day()))
            .with("month", u64::from(u8::from(time.month())))
            .with("year", u64::try_from(time.year()).unwrap_or_default())
            .with("time", Value::Text(format!("{:02}:{:02}", time.hour(), time.minute())));
        Moment { iso: iso(time), date: date.to_string(), relative: relative(at, now, messages) }
    }

    /// The relative time, to be put into a message.
    pub(crate) fn text(&self) -> Value {
        Value::Text(self.relative.clone())
    }
}

fn relative(at: u64, now: u64, messages: &Messages) -> String {
    let distance = at.abs_diff(now);
    if distance < MINUTE {
        return messages.text("time-now").to_string();
    }
    let is_past = at < now;
    // Time to come is rounded to the nearest unit: what lasts seven days still does a second later.
    let distance = if is_past { distance } else { distance + unit_of(distance) / 2 };
    let unit = unit_of(distance);
    let id = match (is_past, unit) {
        (true, MINUTE) => "time-minutes-ago",
        (true, HOUR) => "time-hours-ago",
        (true, _) => "time-days-ago",
        (false, MINUTE) => "time-in-minutes",
        (false, HOUR) => "time-in-hours",
        (false, _) => "time-in-days",
    };
    messages.text(id).with("count", distance / unit).to_string()
}

/// The largest of minutes, hours and days that fits into a number of seconds.
fn unit_of(seconds: u64) -> u64 {
    match seconds {
        0..HOUR => MINUTE,
        HOUR..DAY => HOUR,
        _ => DAY,
    }
}

/// The value of an `<input type="datetime-local">`, in UTC: `2026-11-22T08:15:00`.
pub(crate) fn input_value(at: u64) -> String {
    iso(utc(at)).trim_end_matches('Z').to_owned()
}

/// Reads the value of an `<input type="datetime-local">` as UTC, with or without seconds. None if
/// it is not a date and a time since 1970.
pub(crate) fn parse_input(value: &str) -> Option<u64> {
    let (date, time) = value.trim().split_once(['T', ' '])?;
    let seconds = if time.matches(':').count() == 1 { ":00" } else { "" };
    let time = OffsetDateTime::parse(&format!("{date}T{time}{seconds}Z"), &Rfc3339).ok()?;
    u64::try_from(time.unix_timestamp()).ok()
}

fn utc(at: u64) -> OffsetDateTime {
    let second = i64::try_from(at.min(MAX_SECOND)).unwrap_or_default();
    OffsetDateTime::from_unix_timestamp(second).unwrap_or(OffsetDateTime::UNIX_EPOCH)
}

fn iso(time: OffsetDateTime) -> String {
    time.format(&Rfc3339).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tollgate_messages::Catalogue;

    use super::*;

    fn messages(language: &str) -> Messages {
        Arc::new(Catalogue::load(None).expect("the built-in files are good")).messages(language, "")
    }

    #[test]
    fn moments_have_the_dates_of_the_gregorian_calendar() {
        let english = messages("en");
        for (at, iso) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_399, "2000-02-28T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (951_868_800, "2000-03-01T00:00:00Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
            (1_795_335_301, "2026-11-22T08:15:01Z"),
            (u64::MAX, "9999-12-31T23:59:59Z"),
        ] {
            assert_eq!(Moment::new(at, 0, &english).iso, iso);
        }
        assert_eq!(Moment::new(1_795_335_301, 0, &english).date, "22 Nov 2026, 08:15 UTC");
        let relative = |at: u64| Moment::new(at, 1_000_000, &english).relative;
        assert_eq!((relative(1_000_000), relative(999_941)), ("now".to_owned(), "now".to_owned()));
        assert_eq!((relative(999_940), relative(1_007_200)), ("1 minute ago".to_owned(), "in 2 hours".to_owned()));
        assert_eq!(
            (relative(1_000_000 - 3 * DAY), relative(999_999 + 7 * DAY)),
            ("3 days ago".to_owned(), "in 7 days".to_owned())
        );
        assert_eq!(relative(1_000_000 + 3599), "in 1 hour");
    }

    #[test]
    fn moments_speak_the_language_of_the_reader() {
        let german = Moment::new(1_795_335_301, 1_795_335_301 + 3 * DAY, &messages("de"));
        assert_eq!((german.date.as_str(), german.relative.as_str()), ("22. November 2026, 08:15 UTC", "vor 3 Tagen"));
    }

    #[test]
    fn form_values_round_trip() {
        for at in [0, 951_782_399, 951_782_400, 951_868_800, 1_795_335_301, 4_107_542_400, 253_402_300_799] {
            assert_eq!(parse_input(&input_value(at)), Some(at), "{}", input_value(at));
        }
        assert_eq!(parse_input("2026-11-22T08:15"), Some(1_795_335_300));
        assert_eq!(parse_input(" 2026-11-22 08:15:01 "), Some(1_795_335_301));
    }

    #[test]
    fn malformed_times_are_refused() {
        for text in [
            "",
            "2026-11-22",
            "2026-11-22T",
            "2026-02-29T00:00",
            "2026-13-01T00:00",
            "2026-11-31T00:00",
            "2026-11-22T24:00",
            "2026-11-22T08:15:60",
            "1969-12-31T23:59",
            "+026-11-22T08:15",
            "2026-11-22T08:15Z",
            "99999-01-01T00:00",
            "now",
        ] {
            assert_eq!(parse_input(text), None, "{text:?}");
        }
    }
}
