//! Reports: sent without anybody waiting, again after what may pass, until the sidecar has them or refuses them.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::sleep;

use crate::call::{Caller, Path};
use crate::inbox::{Inbox, Outcome};

/// One attempt. A connection that takes longer to swallow a report is taken for dead.
const PATIENCE: Duration = Duration::from_secs(120);

const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// How long it may take until somebody is told that reports have been delivered.
const LINGER: Duration = Duration::from_millis(50);

/// A report on its way.
pub(crate) struct Report {
    pub(crate) path: Path,
    /// With its prefix.
    pub(crate) message: Bytes,
    /// Its number in the inbox.
    pub(crate) number: usize,
}

/// Sends a report until it is settled.
pub(crate) async fn deliver<T: Send + 'static>(caller: Arc<Caller>, inbox: Arc<Inbox<T>>, report: Report) {
    let mut pause = FIRST_PAUSE;
    let outcome = loop {
        match caller.unary(&report.path, report.message.clone(), PATIENCE).await {
            Ok(_) => break Outcome::Delivered,
            Err(status) if status.is_transient() => {
                // Many workers must not come back in one moment.
                sleep(pause.mul_f64(0.5 + chance())).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
            Err(status) => break Outcome::Refused(status),
        }
    };
    if inbox.settle(report.number, outcome) {
        sleep(LINGER).await;
        inbox.flush();
    }
}

/// A number from 0 up to 1, another one each time.
fn chance() -> f64 {
    use std::hash::{BuildHasher, RandomState};
    f64::from(u16::try_from(RandomState::new().hash_one(0_u8) % 1000).unwrap_or_default()) / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_differ() {
        let drawn: Vec<f64> = (0..100).map(|_| chance()).collect();
        assert!(drawn.iter().all(|number| (0.0..1.0).contains(number)));
        assert!(drawn.iter().any(|number| *number < 0.5) && drawn.iter().any(|number| *number > 0.5));
    }
}
