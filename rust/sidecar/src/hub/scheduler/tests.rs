//! Stories of workers that come, keep up, fall behind, decline and go.

use std::time::Duration;

use super::*;

const SECOND: Nanos = 1_000_000_000;

/// A scheduler and what time it is in it; every turn needs "greet" unless the story says otherwise.
struct Story {
    scheduler: Scheduler,
    now: Nanos,
}

impl Story {
    fn new() -> Self {
        let limits = Limits { turn_lease: Duration::from_secs(60), first_turns: 4, ..Limits::default() };
        Self { scheduler: Scheduler::new(limits), now: 0 }
    }

    fn connects(&mut self, id: StreamId) {
        self.scheduler.connect(id, Offer { stateful_history: true, ..Offer::default() }, self.now);
    }

    fn connects_with(&mut self, id: StreamId, names: &[(&str, Option<&str>)]) {
        let mut has = Names::default();
        for (name, version) in names {
            has.add((*name).to_owned(), version.map(str::to_owned));
        }
        let offer = Offer { orchestrators: Some(has.clone()), activities: Some(has), ..Offer::default() };
        self.scheduler.connect(id, offer, self.now);
    }

    fn due(&mut self, key: Key) {
        self.scheduler.turn_is_due(key, Need::of("greet", None));
    }

    /// Hands out all that can be; returns who gets what.
    fn hands_out(&mut self) -> Vec<(Key, StreamId)> {
        let mut sent = Vec::new();
        while let Some((key, need, stream)) = self.scheduler.next_turn(self.now, |_| true) {
            self.scheduler.turn_sent(key, need, stream, 100, self.now, false);
            sent.push((key, stream));
        }
        sent
    }

    fn answers(&mut self, key: Key) {
        let (stream, more) = self.scheduler.turn_answered(key).expect("it is out");
        self.scheduler.remember(stream, key, Some(Warm { execution_id: None, count: 1, bytes: 1 }));
        if more {
            self.due(key);
        }
    }

    fn passes(&mut self, seconds: i64) {
        self.now += seconds * SECOND;
        self.scheduler.expire(self.now);
    }
}

#[test]
fn work_goes_to_the_idlest_in_the_order_of_its_arrival() {
    let mut story = Story::new();
    for key in 1..=4 {
        story.due(key);
    }
    assert_eq!(story.hands_out(), [], "nobody is there");
    story.connects(10);
    story.connects(20);
    assert_eq!(story.hands_out(), [(1, 10), (2, 20), (3, 10), (4, 20)]);
}

#[test]
fn an_instance_stands_in_line_once_and_comes_back_for_what_arrived_meanwhile() {
    let mut story = Story::new();
    story.connects(10);
    story.due(1);
    story.due(1);
    assert_eq!(story.hands_out(), [(1, 10)]);
    story.due(1);
    assert_eq!(story.hands_out(), [], "it is out");
    story.answers(1);
    assert_eq!(story.hands_out(), [(1, 10)]);
    story.answers(1);
    assert_eq!(story.hands_out(), []);
    assert!(story.scheduler.is_idle());
}

#[test]
fn a_worker_that_answers_nothing_gets_few_turns_and_one_that_answers_gets_ever_more() {
    let mut story = Story::new();
    story.connects(10);
    for key in 0..100 {
        story.due(key);
    }
    let first = story.hands_out();
    assert_eq!(first.len(), 4);
    for (key, _) in first {
        story.answers(key);
    }
    assert_eq!(story.hands_out().len(), 8);
}

#[test]
fn an_instance_goes_to_the_worker_that_holds_it_unless_that_one_is_much_busier() {
    let mut story = Story::new();
    story.connects(10);
    for key in 1..=20 {
        story.due(key);
    }
    let mut count = 0;
    while count < 20 {
        for (key, _) in story.hands_out() {
            story.answers(key);
            count += 1;
        }
    }
    story.connects(20);
    for key in 1..=20 {
        story.due(key);
    }
    let sent = story.hands_out();
    let holder = sent.iter().filter(|(_, stream)| *stream == 10).count();
    assert_eq!(sent[..5], [(1, 10), (2, 10), (3, 10), (4, 10), (5, 10)]);
    assert!(sent.len() - holder >= 4, "the idle one has its share: {sent:?}");
}

#[test]
fn a_worker_that_is_behind_gets_nothing_while_another_can() {
    let mut story = Story::new();
    story.connects(10);
    story.due(1);
    story.due(2);
    assert_eq!(story.hands_out(), [(1, 10), (2, 10)]);
    story.answers(2);
    story.connects(20);
    story.passes(3);
    story.due(2);
    assert_eq!(story.hands_out(), [(2, 20)], "10 holds it, and lets turns lie");
    story.scheduler.disconnect(20);
    assert_eq!(story.hands_out(), [(2, 10)], "better than nobody");
}

#[test]
fn a_turn_that_is_out_for_too_long_goes_to_another_and_its_worker_may_answer_until_then() {
    let mut story = Story::new();
    story.connects(10);
    for key in [1, 2] {
        story.due(key);
    }
    story.hands_out();
    story.connects(20);
    story.passes(59);
    assert_eq!(story.hands_out(), []);
    assert_eq!(story.scheduler.next_expiry(), Some(60 * SECOND));
    story.passes(1);
    story.answers(2);
    assert_eq!(story.hands_out(), [(1, 20)], "2 was answered just in time");
    assert_eq!(story.scheduler.next_expiry(), Some(120 * SECOND));
    story.answers(1);
    assert!(story.scheduler.is_idle());
}

#[test]
fn a_turn_that_the_only_worker_lost_is_sent_again() {
    let mut story = Story::new();
    story.connects(10);
    story.due(1);
    story.hands_out();
    for _ in 0..50 {
        story.passes(60);
        assert_eq!(story.hands_out(), [(1, 10)]);
    }
}

#[test]
fn a_turn_that_all_have_declined_waits_for_the_next_worker_and_holds_nobody_up() {
    let mut story = Story::new();
    story.connects(10);
    story.connects(20);
    story.due(1);
    for stream in [10, 20] {
        assert_eq!(story.hands_out(), [(1, stream)]);
        story.scheduler.turn_declined(1);
        story.due(1);
    }
    story.due(2);
    assert_eq!(story.hands_out(), [(2, 10)]);
    assert!(story.scheduler.news().is_empty(), "they have said so themselves");
    story.connects(30);
    assert_eq!(story.hands_out(), [(1, 30)]);
}

#[test]
fn a_declined_turn_goes_to_anyone_once_it_is_forgiven() {
    let mut story = Story::new();
    story.connects(10);
    story.due(1);
    story.hands_out();
    story.scheduler.turn_declined(1);
    story.due(1);
    assert_eq!(story.hands_out(), []);
    story.scheduler.forgive(1, &Need::of("greet", None));
    story.due(1);
    assert_eq!(story.hands_out(), [(1, 10)]);
}

#[test]
fn a_worker_that_says_what_it_has_is_given_nothing_else() {
    let mut story = Story::new();
    story.connects_with(10, &[("a", None), ("b", Some("1"))]);
    for (key, name, version) in
        [(1, "a", None), (2, "a", Some("9")), (3, "b", None), (4, "b", Some("1")), (5, "b", Some("2")), (6, "c", None)]
    {
        story.scheduler.turn_is_due(key, Need::of(name, version));
    }
    assert_eq!(story.hands_out(), [(1, 10), (2, 10), (3, 10), (4, 10)]);
    let news: Vec<_> = story.scheduler.news().iter().map(|need| (need.name.clone(), need.version.clone())).collect();
    assert_eq!(news, [("b".to_owned(), Some("2".to_owned())), ("c".to_owned(), None)]);
    let (turns, _) = story.scheduler.unserved();
    assert_eq!(turns.iter().map(|(_, count)| count).sum::<usize>(), 2);

    story.connects(20);
    assert_eq!(story.hands_out(), [(5, 20), (6, 20)], "it does not say, so it is given everything");
    assert_eq!(story.scheduler.unserved(), (vec![], vec![]));
}

#[test]
fn activities_are_filtered_by_name_and_stay_with_their_worker() {
    let mut story = Story::new();
    story.connects_with(10, &[("a", None)]);
    story.scheduler.activity_is_due(1, Need::of("b", None));
    story.scheduler.activity_is_due(2, Need::of("a", None));
    let (sequence, need, stream) = story.scheduler.next_activity(|_| true).expect("a is served");
    assert_eq!((sequence, stream), (2, 10));
    story.scheduler.activity_sent(sequence, need, stream, 100);
    assert!(story.scheduler.next_activity(|_| true).is_none());
    story.passes(1_000_000);
    assert!(story.scheduler.is_out(2));
    let taken = story.scheduler.disconnect(10).expect("it was connected");
    assert_eq!(taken.activities, [2]);
}

#[test]
fn what_a_worker_keeps_that_says_what_it_has_goes_to_the_next_that_connects() {
    let mut story = Story::new();
    story.connects_with(10, &[("greet", None)]);
    story.due(1);
    assert_eq!(story.hands_out(), [(1, 10)]);
    story.passes(5);
    assert_eq!(story.hands_out(), []);
    story.connects_with(20, &[("greet", None)]);
    assert_eq!(story.hands_out(), [(1, 20)]);
    story.scheduler.disconnect(10);
    story.scheduler.disconnect(20);
    story.connects_with(30, &[("greet", None)]);
    assert_eq!(story.hands_out(), [(1, 30)], "and comes back by itself");
}

#[test]
fn what_a_worker_has_in_hand_is_bounded_in_bytes_too() {
    let mut story = Story::new();
    story.connects(10);
    for key in [1, 2] {
        story.due(key);
    }
    let (key, need, stream) = story.scheduler.next_turn(0, |_| true).expect("there is room");
    story.scheduler.turn_sent(key, need, stream, usize::MAX / 2, 0, false);
    assert_eq!(story.hands_out(), []);
    story.answers(key);
    assert_eq!(story.hands_out(), [(2, 10)]);
}

#[test]
fn a_worker_that_goes_gives_everything_back_in_order() {
    let mut story = Story::new();
    story.connects(10);
    for key in 1..=3 {
        story.due(key);
    }
    story.hands_out();
    story.due(4);
    assert_eq!(story.scheduler.disconnect(10).expect("it was connected").turns, [1, 2, 3]);
    assert_eq!(story.scheduler.disconnect(10), None);
    story.connects(20);
    assert_eq!(story.hands_out(), [(1, 20), (2, 20), (3, 20), (4, 20)]);
}
