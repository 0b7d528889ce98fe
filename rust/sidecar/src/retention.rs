//! For how long instances are kept once they have ended.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use durabletask_proto::OrchestrationStatus;

const SECONDS: [(char, f64); 5] = [('s', 1.0), ('m', 60.0), ('h', 3_600.0), ('d', 86_400.0), ('w', 604_800.0)];

/// For how long instances are kept that have ended with a status; those with any other are kept for ever.
///
/// ```
/// let retention: durabletask_sidecar::Retention = "COMPLETED=7d,FAILED=30d".parse()?;
/// # assert_eq!(retention.to_string(), "COMPLETED=604800s,FAILED=2592000s");
/// # Ok::<(), durabletask_sidecar::RetentionError>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Retention {
    rules: Vec<(OrchestrationStatus, Duration)>,
}

/// What is said of it makes no sense.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}; expected STATUS=TIME, as COMPLETED=7d,FAILED=30d, with s, m, h, d or w for the unit of time")]
pub struct RetentionError(String);

impl Retention {
    /// Adds a rule: the name of a status in which instances end, and for how long they are kept.
    pub fn keep(&mut self, status: &str, time: Duration) -> Result<(), RetentionError> {
        let status = match status.trim().to_ascii_uppercase().as_str() {
            "COMPLETED" => OrchestrationStatus::Completed,
            "FAILED" => OrchestrationStatus::Failed,
            "TERMINATED" => OrchestrationStatus::Terminated,
            "CANCELED" => OrchestrationStatus::Canceled,
            _ => {
                return Err(RetentionError(format!(
                    "'{}' is not how an instance ends, which is COMPLETED, FAILED, TERMINATED or CANCELED",
                    status.escape_debug()
                )));
            }
        };
        if self.rules.iter().any(|(other, _)| *other == status) {
            return Err(RetentionError(format!("{} is given twice", name(status))));
        }
        self.rules.push((status, time));
        Ok(())
    }

    /// Each status for which there is a rule, and for how long its instances are kept.
    pub(crate) fn rules(&self) -> &[(OrchestrationStatus, Duration)] {
        &self.rules
    }
}

fn name(status: OrchestrationStatus) -> &'static str {
    let name = status.as_str_name();
    name.strip_prefix("ORCHESTRATION_STATUS_").unwrap_or(name)
}

impl FromStr for Retention {
    type Err = RetentionError;

    fn from_str(text: &str) -> Result<Self, RetentionError> {
        let mut retention = Self::default();
        for rule in text.split(',') {
            let (status, time) = rule
                .split_once('=')
                .ok_or_else(|| RetentionError(format!("'{}' is no rule of retention", rule.escape_debug())))?;
            let time = duration(time.trim())
                .ok_or_else(|| RetentionError(format!("'{}' is no length of time", time.trim().escape_debug())))?;
            retention.keep(status, time)?;
        }
        Ok(retention)
    }
}

fn duration(text: &str) -> Option<Duration> {
    let unit = text.chars().last()?;
    let (_, seconds) = SECONDS.into_iter().find(|(known, _)| *known == unit)?;
    let number = &text[..text.len() - unit.len_utf8()];
    if !number.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') {
        return None;
    }
    Duration::try_from_secs_f64(number.parse::<f64>().ok()? * seconds).ok()
}

impl fmt::Display for Retention {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (status, time)) in self.rules.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            write!(formatter, "{comma}{}={}s", name(*status), time.as_secs_f64())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_unit_of_time_is_understood() {
        for (text, seconds) in [
            ("90s", 90),
            ("15m", 900),
            ("36h", 129_600),
            ("7d", 604_800),
            ("2w", 1_209_600),
            ("1.5h", 5_400),
            ("0s", 0),
        ] {
            assert_eq!(duration(text), Some(Duration::from_secs(seconds)), "{text}");
        }
        for text in ["", "7", "d", "-1d", "+1d", "1 d", "1y", "1e9d", "infd", "nand", "7d7d", "9999999999999999w", "1é"]
        {
            assert_eq!(duration(text), None, "{text}");
        }
    }

    #[test]
    fn rules_are_for_statuses_in_which_instances_end_once_each() {
        let retention: Retention = " completed=7d , FAILED=30d".parse().expect("two rules");
        let [completed, failed] = retention.rules() else {
            panic!("expected two rules, found {retention:?}");
        };
        assert_eq!(*completed, (OrchestrationStatus::Completed, Duration::from_secs(604_800)));
        assert_eq!(failed.0, OrchestrationStatus::Failed);
        for text in ["", "COMPLETED", "RUNNING=1d", "COMPLETED=1d,COMPLETED=2d", "COMPLETED=1d,", "=1d", "FAILED="] {
            let error = text.parse::<Retention>().expect_err(text).to_string();
            assert!(error.contains("COMPLETED=7d,FAILED=30d"), "{text:?} is refused with {error}");
        }
    }
}
