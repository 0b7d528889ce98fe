//! What is counted and timed, for those who watch over the sidecar; written down in Prometheus' text format.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use durabletask_proto::OrchestrationStatus;

use super::Hub;
use super::clients::status_name;
use crate::store::StoreError;
use crate::time::Nanos;

/// Upper bounds of what a histogram tells apart, in seconds.
const BOUNDS: [f64; 14] = [0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0, 300.0];
/// Instances are counted anew at most for one part in so many of the time: of a million it takes a while.
const COUNTING_SHARE: u32 = 50;
const STATUSES: [OrchestrationStatus; 8] = [
    OrchestrationStatus::Pending,
    OrchestrationStatus::Running,
    OrchestrationStatus::Suspended,
    OrchestrationStatus::Stalled,
    OrchestrationStatus::Completed,
    OrchestrationStatus::Failed,
    OrchestrationStatus::Terminated,
    OrchestrationStatus::Canceled,
];

#[derive(Debug, Default)]
pub(super) struct Histogram {
    counts: [u64; BOUNDS.len()],
    beyond: u64,
    sum: f64,
}

impl Histogram {
    pub(super) fn note(&mut self, time: Duration) {
        let seconds = time.as_secs_f64();
        self.sum += seconds;
        match BOUNDS.iter().position(|bound| seconds <= *bound) {
            Some(index) => self.counts[index] += 1,
            None => self.beyond += 1,
        }
    }
}

type Counted = (Instant, Duration, Vec<(i32, u64)>);

#[derive(Default)]
pub(super) struct Stats {
    pub(super) started: u64,
    /// By status.
    ended: [u64; STATUSES.len()],
    pub(super) forgotten: u64,
    pub(super) turns: u64,
    pub(super) activities: u64,
    pub(super) overdue: u64,
    /// Writes that the database did not take.
    pub(super) refused: u64,
    /// From handing out to the answer.
    pub(super) turn_time: Histogram,
    /// From the arrival of a change to its answer.
    pub(super) write_time: Histogram,
    pub(super) commit_time: Histogram,
    /// How many instances have each status, when they were counted, and how long that took.
    counted: Option<Counted>,
}

impl Stats {
    pub(super) fn note_end(&mut self, status: OrchestrationStatus) {
        if let Some(index) = STATUSES.iter().position(|known| *known == status) {
            self.ended[index] += 1;
        }
    }

    pub(super) fn note_turn(&mut self, sent: Option<Nanos>, now: Nanos) {
        self.turns += 1;
        if let Some(sent) = sent {
            self.turn_time.note(Duration::from_nanos(u64::try_from(now - sent).unwrap_or(0)));
        }
    }
}

/// Writes metrics down, one after the other.
#[derive(Default)]
pub(crate) struct Page(String);

impl Page {
    fn head(&mut self, name: &str, kind: &str, help: &str) {
        let _ = writeln!(self.0, "# HELP durabletask_sidecar_{name} {help}\n# TYPE durabletask_sidecar_{name} {kind}");
    }

    fn value(&mut self, name: &str, labels: &str, value: impl std::fmt::Display) {
        let _ = writeln!(self.0, "durabletask_sidecar_{name}{labels} {value}");
    }

    pub(crate) fn gauge(&mut self, name: &str, help: &str, value: impl std::fmt::Display) {
        self.head(name, "gauge", help);
        self.value(name, "", value);
    }

    pub(crate) fn counter(&mut self, name: &str, help: &str, value: u64) {
        self.head(name, "counter", help);
        self.value(name, "", value);
    }

    /// One value for each label.
    fn each(&mut self, name: &str, kind: &str, help: &str, label: &str, values: &[(&str, u64)]) {
        self.head(name, kind, help);
        for (given, value) in values {
            self.value(name, &format!("{{{label}=\"{given}\"}}"), value);
        }
    }

    fn histogram(&mut self, name: &str, help: &str, histogram: &Histogram) {
        self.head(name, "histogram", help);
        let mut count = 0;
        for (bound, more) in BOUNDS.iter().zip(histogram.counts) {
            count += more;
            self.value(&format!("{name}_bucket"), &format!("{{le=\"{bound}\"}}"), count);
        }
        count += histogram.beyond;
        self.value(&format!("{name}_bucket"), "{le=\"+Inf\"}", count);
        self.value(&format!("{name}_sum"), "", histogram.sum);
        self.value(&format!("{name}_count"), "", count);
    }

    pub(crate) fn into_text(self) -> String {
        self.0
    }
}

impl Hub {
    /// All that is known here.
    pub(crate) fn metrics(&mut self) -> Page {
        let mut page = Page::default();
        page.head("info", "gauge", "The version.");
        page.value("info", concat!("{version=\"", env!("CARGO_PKG_VERSION"), "\"}"), 1);
        if let Ok(counts) = self.count_now_and_then() {
            let of = |status: OrchestrationStatus| {
                counts.iter().find(|(known, _)| *known == status as i32).map_or(0, |(_, count)| *count)
            };
            let counts = STATUSES.map(|status| (status_name(status), of(status)));
            page.each("instances", "gauge", "Instances that are stored.", "status", &counts);
        }
        page.counter("instances_started_total", "Instances that were started, children too.", self.stats.started);
        let ended: Vec<_> =
            STATUSES[4..].iter().zip(&self.stats.ended[4..]).map(|(s, n)| (status_name(*s), *n)).collect();
        page.each("instances_ended_total", "counter", "Instances that have ended.", "status", &ended);
        page.counter(
            "instances_forgotten_total",
            "Instances that were purged, asked for or not.",
            self.stats.forgotten,
        );

        let kinds = |(turns, activities): (usize, usize)| [("turn", turns as u64), ("activity", activities as u64)];
        let count = |needs: super::scheduler::Counted<&super::Need>| needs.iter().map(|(_, count)| count).sum();
        let (turns, activities) = self.scheduler.unserved();
        let unserved = (count(turns), count(activities));
        let help = "Work items that wait for a worker.";
        page.each("queued", "gauge", help, "kind", &kinds(self.scheduler.waiting()));
        let help = "Of those: no connected worker has what they need.";
        page.each("unserved", "gauge", help, "kind", &kinds(unserved));
        let help = "Work items that workers have in hand.";
        page.each("leased", "gauge", help, "kind", &kinds(self.scheduler.in_hand_by_kind()));
        let answered = [("turn", self.stats.turns), ("activity", self.stats.activities)];
        page.each("answered_total", "counter", "Work items that were answered.", "kind", &answered);
        page.counter("turns_overdue_total", "Turns that a worker had in hand for too long.", self.stats.overdue);
        let oldest = self.scheduler.oldest_turn().map_or(0, |sent| (self.clock.elapsed() - sent).max(0));
        page.gauge("oldest_turn_seconds", "For how long the oldest turn has been out.", seconds(oldest));
        page.histogram("turn_seconds", "From handing out a turn to its answer.", &self.stats.turn_time);
        page.gauge("workers", "Streams of work items.", self.scheduler.worker_count());
        page.gauge("waiters", "Callers that wait for an instance.", self.waiters.len());

        let late = self.next_timer.map_or(0, |due| (self.clock.now() - due).max(0));
        page.gauge("timer_lag_seconds", "How late the next timer is.", seconds(late));
        page.histogram("write_seconds", "From the arrival of a change to its answer.", &self.stats.write_time);
        page.histogram("commit_seconds", "Commits, each of all changes that had arrived.", &self.stats.commit_time);
        page.counter("writes_refused_total", "Changes that the database did not take.", self.stats.refused);
        if let Ok((database, log)) = self.store.sizes() {
            let sizes = [("database", database), ("log", log)];
            page.each("stored_bytes", "gauge", "The size of the database, and of its log.", "part", &sizes);
        }
        page.gauge("cache_bytes", "Memory for histories of instances at work.", self.cache.bytes());
        page
    }

    fn count_now_and_then(&mut self) -> Result<Vec<(i32, u64)>, StoreError> {
        if let Some((when, took, counts)) = &self.stats.counted
            && when.elapsed() < *took * COUNTING_SHARE
        {
            return Ok(counts.clone());
        }
        let began = Instant::now();
        let counts = self.store.count_by_status()?;
        self.stats.counted = Some((Instant::now(), began.elapsed(), counts.clone()));
        Ok(counts)
    }
}

fn seconds(nanos: Nanos) -> f64 {
    Duration::from_nanos(nanos.unsigned_abs()).as_secs_f64()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_histogram_counts_all_that_is_below_each_bound() {
        let mut histogram = Histogram::default();
        for millis in [1, 2, 700, 400_000] {
            histogram.note(Duration::from_millis(millis));
        }
        let mut page = Page::default();
        page.histogram("some", "Some.", &histogram);
        let text = page.into_text();
        for line in [
            "# TYPE durabletask_sidecar_some histogram",
            "durabletask_sidecar_some_bucket{le=\"0.001\"} 1",
            "durabletask_sidecar_some_bucket{le=\"0.0025\"} 2",
            "durabletask_sidecar_some_bucket{le=\"1\"} 3",
            "durabletask_sidecar_some_bucket{le=\"300\"} 3",
            "durabletask_sidecar_some_bucket{le=\"+Inf\"} 4",
            "durabletask_sidecar_some_count 4",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is missing in {text}");
        }
    }
}
