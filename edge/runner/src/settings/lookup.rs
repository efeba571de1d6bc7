//! Reading values of settings by name.

use super::SettingError;
use std::ops::RangeInclusive;
use std::time::Duration;

/// Values of settings by name; an empty value counts as unset.
#[derive(Clone, Copy)]
pub(super) struct Lookup<'a>(pub(super) &'a dyn Fn(&str) -> Option<String>);

impl Lookup<'_> {
    pub(super) fn text(self, name: &str) -> Option<String> {
        (self.0)(name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty())
    }

    pub(super) fn number(self, name: &str, default: u64, range: RangeInclusive<u64>) -> Result<u64, SettingError> {
        let Some(value) = self.text(name) else { return Ok(default) };
        value.parse().ok().filter(|number| range.contains(number)).ok_or_else(|| {
            let (start, end) = range.into_inner();
            SettingError::new(name, format_args!("must be a whole number from {start} to {end}, not {value:?}"))
        })
    }

    pub(super) fn flag(self, name: &str) -> Result<bool, SettingError> {
        match self.text(name).as_deref() {
            None | Some("false") => Ok(false),
            Some("true") => Ok(true),
            Some(value) => Err(SettingError::new(name, format_args!("must be true or false, not {value:?}"))),
        }
    }

    pub(super) fn seconds(
        self,
        name: &str,
        default: u64,
        range: RangeInclusive<u64>,
    ) -> Result<Duration, SettingError> {
        self.number(name, default, range).map(Duration::from_secs)
    }
}
