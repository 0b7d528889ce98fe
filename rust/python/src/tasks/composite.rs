//! What makes one task of several: when it is complete, with what, and who is told then.
//!
//! Every child tells its parents, so that a completion costs what it completes, however many tasks there are and however
//! deep they stand one in the other. A child does not keep its parents alive, and forgets those that are over when it takes
//! up another: the same call may be raced against a timer a thousand times.

#![allow(unsafe_code, reason = "the compiler can not know that the interpreter's lock guards these counts")]

use std::cell::{Cell, OnceCell, RefCell};
use std::fmt;
use std::rc::{Rc, Weak};

use pyo3::PyClass;
use pyo3::prelude::*;
use pyo3::pyclass::boolean_struct::True;
use pyo3::types::PyList;
use pyo3::{PyTraverseError, PyVisit};

/// A task, as far as composites know it.
pub(super) trait Child: PyClass<Frozen = True> + Sync + Sized {
    /// When it completed.
    fn stamp(&self, py: Python<'_>) -> Option<u64>;
    /// Whether it failed.
    fn has_failed(&self, py: Python<'_>) -> bool;
    /// Its value, or the exception that it failed with.
    fn value<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>>;
    /// Whom it tells that it has completed.
    fn parents(&self) -> &Parents<Self>;
    /// What it waits for, in words, what it is made of included; "" if that is not known.
    fn waits_for(&self, py: Python<'_>, look_inside: bool) -> String;
    /// What it is made of, if it is made of others.
    fn as_composite(&self) -> Option<&Composite<Self>>;
}

/// A task made of tasks.
#[derive(Debug)]
pub(super) struct Composite<T: Child>(Rc<Node<T>>);

// SAFETY: tasks are Python objects, which are made, used and freed by whoever holds the interpreter's lock, one thread at a
// time; nothing here is kept anywhere else.
unsafe impl<T: Child> Send for Composite<T> {}
// SAFETY: as above.
unsafe impl<T: Child> Sync for Composite<T> {}

/// Which children have to complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rule {
    /// All, or the first that fails.
    All,
    /// All, also when one has failed.
    AllEnded,
    /// The first.
    Any,
}

#[derive(Debug)]
struct Node<T: Child> {
    children: Vec<Py<T>>,
    rule: Rule,
    state: Cell<State>,
    result: OnceCell<Py<PyAny>>,
    parents: Parents<T>,
}

#[derive(Clone, Copy, Debug)]
enum State {
    /// So many children have not completed, one that stands there twice counted twice. When they have, it fails with the
    /// one that failed first, if any did: when that was, and its place.
    Waiting { pending: usize, failed: Option<(u64, usize)> },
    /// When it completed, and the child that decided: the one that failed, or came first.
    Done { stamp: u64, child: Option<usize>, failed: bool },
}

impl State {
    /// Of a composite whose children have all ended.
    fn ended(stamp: u64, failed: Option<(u64, usize)>) -> Self {
        Self::Done { stamp, child: failed.map(|(_, place)| place), failed: failed.is_some() }
    }
}

/// A place in a composite.
#[derive(Debug)]
struct Link<T: Child> {
    parent: Weak<Node<T>>,
    place: usize,
}

impl<T: Child> Link<T> {
    /// Whether nobody is to be told any more.
    fn is_over(&self) -> bool {
        self.parent.upgrade().is_none_or(|parent| matches!(parent.state.get(), State::Done { .. }))
    }
}

/// Who is to be told when a task completes; mostly nobody, or one.
pub(super) struct Parents<T: Child>(Cell<Links<T>>);

impl<T: Child> Default for Parents<T> {
    fn default() -> Self {
        Self(Cell::new(Links::None))
    }
}

impl<T: Child> fmt::Debug for Parents<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Parents")
    }
}

// SAFETY: as for `Composite`.
unsafe impl<T: Child> Send for Parents<T> {}
// SAFETY: as for `Composite`.
unsafe impl<T: Child> Sync for Parents<T> {}

enum Links<T: Child> {
    None,
    One(Link<T>),
    Many(Vec<Link<T>>),
}

impl<T: Child> Parents<T> {
    fn add(&self, link: Link<T>) {
        self.0.set(match self.take() {
            Links::None => Links::One(link),
            Links::One(before) if before.is_over() => Links::One(link),
            Links::One(before) => Links::Many(vec![before, link]),
            Links::Many(mut links) => {
                if links.len() == links.capacity() {
                    links.retain(|link| !link.is_over());
                }
                links.push(link);
                Links::Many(links)
            }
        });
    }

    fn take(&self) -> Links<T> {
        self.0.replace(Links::None)
    }

    /// Tells whom it concerns that a task has completed, and whom that concerns in turn.
    #[inline]
    pub(super) fn tell(&self, stamp: u64, failed: bool) {
        match self.take() {
            Links::None => {}
            links => tell_all(links, stamp, failed),
        }
    }
}

fn tell_all<T: Child>(links: Links<T>, stamp: u64, failed: bool) {
    let mut to_tell = Vec::new();
    let mut next = Some((links, failed));
    while let Some((links, failed)) = next {
        let mut tell = |link: Link<T>| {
            if let Some(parent) = link.parent.upgrade()
                && let Some(failed) = parent.child_completed(link.place, stamp, failed)
            {
                to_tell.push((parent.parents.take(), failed));
            }
        };
        match links {
            Links::None => {}
            Links::One(link) => tell(link),
            Links::Many(links) => links.into_iter().for_each(tell),
        }
        next = to_tell.pop();
    }
}

impl<T: Child> Node<T> {
    /// Takes note of a child's completion; says whether it completes this one too, and whether as failed.
    fn child_completed(&self, place: usize, stamp: u64, failed: bool) -> Option<bool> {
        match (self.state.get(), self.rule) {
            (State::Waiting { .. }, Rule::All) if failed => {
                self.state.set(State::Done { stamp, child: Some(place), failed });
                Some(true)
            }
            (State::Waiting { pending, failed: before }, Rule::All | Rule::AllEnded) => {
                let failed = match before {
                    Some((at, first)) if !failed || at != stamp || first < place => before,
                    _ if failed => Some((stamp, place)),
                    _ => None,
                };
                if pending > 1 {
                    self.state.set(State::Waiting { pending: pending - 1, failed });
                    return None;
                }
                self.state.set(State::ended(stamp, failed));
                Some(failed.is_some())
            }
            (State::Waiting { .. }, Rule::Any) => {
                self.state.set(State::Done { stamp, child: Some(place), failed: false });
                Some(false)
            }
            // Of children that complete by the same event, the first in the list counts, whoever was told first.
            (State::Done { stamp: before, child: Some(first), failed: as_failed }, rule)
                if before == stamp && place < first && (rule == Rule::Any || (rule == Rule::All && failed)) =>
            {
                self.state.set(State::Done { stamp, child: Some(place), failed: as_failed });
                None
            }
            (State::Done { .. }, _) => None,
        }
    }
}

impl<T: Child> Composite<T> {
    pub(super) fn new(py: Python<'_>, children: Vec<Py<T>>, rule: Rule) -> Self {
        let state = match rule {
            Rule::All => Self::all(py, &children),
            Rule::AllEnded => Self::all_ended(py, &children),
            Rule::Any => Self::any(py, &children),
        };
        let node =
            Node { children, rule, state: Cell::new(state), result: OnceCell::new(), parents: Parents::default() };
        let node = Rc::new(node);
        if let State::Waiting { .. } = state {
            for (place, child) in node.children.iter().enumerate() {
                let child = child.get();
                if child.stamp(py).is_none() {
                    child.parents().add(Link { parent: Rc::downgrade(&node), place });
                }
            }
        }
        Self(node)
    }

    fn all(py: Python<'_>, children: &[Py<T>]) -> State {
        let (mut last, mut pending) = (0, 0);
        let mut first_failed: Option<(u64, usize)> = None;
        for (place, child) in children.iter().enumerate() {
            let child = child.get();
            let Some(stamp) = child.stamp(py) else {
                pending += 1;
                continue;
            };
            last = last.max(stamp);
            if child.has_failed(py) {
                first_failed = Some(first_failed.map_or((stamp, place), |first| first.min((stamp, place))));
            }
        }
        match first_failed {
            Some((stamp, place)) => State::Done { stamp, child: Some(place), failed: true },
            None if pending == 0 => State::ended(last, None),
            None => State::Waiting { pending, failed: None },
        }
    }

    /// Of those that had failed before the question was asked, the first in the list counts.
    fn all_ended(py: Python<'_>, children: &[Py<T>]) -> State {
        let stamps = children.iter().map(|child| child.get().stamp(py));
        let pending = stamps.clone().filter(Option::is_none).count();
        let failed = children.iter().position(|child| child.get().has_failed(py)).map(|place| (0, place));
        match pending {
            0 => State::ended(stamps.flatten().max().unwrap_or(0), failed),
            _ => State::Waiting { pending, failed },
        }
    }

    /// Among tasks that had completed before the question was asked, the first in the list wins.
    fn any(py: Python<'_>, children: &[Py<T>]) -> State {
        let first = children.iter().enumerate().find_map(|(place, child)| Some((place, child.get().stamp(py)?)));
        match first {
            Some((place, stamp)) => State::Done { stamp, child: Some(place), failed: false },
            None if children.is_empty() => State::Done { stamp: 0, child: None, failed: false },
            None => State::Waiting { pending: children.len(), failed: None },
        }
    }

    /// What it waits for, in words: a few of the tasks that are pending.
    pub(super) fn waits_for(&self, py: Python<'_>, look_inside: bool) -> String {
        const FEW: usize = 3;
        let words = format!("of {} tasks", self.0.children.len());
        if !look_inside {
            return words;
        }
        let mut pending = self.0.children.iter().filter(|child| child.get().stamp(py).is_none());
        let first: Vec<_> = pending.by_ref().take(FEW).map(|child| child.get().waits_for(py, false)).collect();
        let more = pending.count();
        if first.is_empty() {
            return words;
        }
        let others = if more > 0 { "; …" } else { "" };
        format!("{words}, {} pending: {}{others}", first.len() + more, first.join("; "))
    }

    /// Visits what it holds, for Python's collector of cycles. It has nothing to let go of: it is made of tasks that exist,
    /// and its result is one of them, or a list, which can let go.
    pub(super) fn visit(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        for child in &self.0.children {
            visit.call(child)?;
        }
        self.0.result.get().map_or(Ok(()), |result| visit.call(result))
    }

    pub(super) fn children(&self) -> &[Py<T>] {
        &self.0.children
    }

    pub(super) fn parents(&self) -> &Parents<T> {
        &self.0.parents
    }

    /// When the composite completed.
    #[inline]
    pub(super) fn stamp(&self) -> Option<u64> {
        match self.0.state.get() {
            State::Waiting { .. } => None,
            State::Done { stamp, .. } => Some(stamp),
        }
    }

    /// The child that it failed with.
    pub(super) fn failed_child(&self) -> Option<&T> {
        match self.0.state.get() {
            State::Done { child: Some(place), failed: true, .. } => Some(self.0.children[place].get()),
            _ => None,
        }
    }

    /// The value of a composite that completed without failing: a list, or the task that came first.
    pub(super) fn result<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        if let Some(result) = self.0.result.get() {
            return Ok(result.bind(py).clone());
        }
        // The lists of lists of lists from the inside, not by recursion: they may stand deep one in the other.
        let mut unfinished = vec![Rc::clone(&self.0)];
        while let Some(node) = unfinished.last() {
            let within = node.lists_within();
            if within.is_empty() {
                let result = node.make_result(py)?;
                // Making it may have run code that asked for it.
                node.result.get_or_init(|| result.unbind());
                unfinished.pop();
            } else {
                unfinished.extend(within);
            }
        }
        Ok(self.0.result.get().map_or_else(|| py.None().into_bound(py), |result| result.bind(py).clone()))
    }

    /// Its node, if its result is a list that was not made yet.
    fn to_make(&self) -> Option<Rc<Node<T>>> {
        (self.0.rule != Rule::Any && self.0.result.get().is_none()).then(|| Rc::clone(&self.0))
    }
}

impl<T: Child> Node<T> {
    /// Those of its children whose results are lists that were not made yet.
    fn lists_within(&self) -> Vec<Rc<Self>> {
        match self.rule {
            Rule::All | Rule::AllEnded => {
                self.children.iter().filter_map(|child| child.get().as_composite()?.to_make()).collect()
            }
            Rule::Any => Vec::new(),
        }
    }

    fn make_result<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        match (self.rule, self.state.get()) {
            (Rule::Any, State::Done { child: Some(winner), .. }) => {
                Ok(self.children[winner].bind(py).clone().into_any())
            }
            (Rule::Any, _) => Ok(PyList::empty(py).into_any()),
            (Rule::All | Rule::AllEnded, _) => {
                let results: PyResult<Vec<_>> = self.children.iter().map(|child| child.get().value(py)).collect();
                Ok(PyList::new(py, results?)?.into_any())
            }
        }
    }
}

thread_local! {
    /// Children whose parents are gone, while somebody is letting go of such.
    static LEFT_BEHIND: RefCell<Option<Vec<Vec<Py<PyAny>>>>> = const { RefCell::new(None) };
}

/// Composites may stand so deep one in the other that letting go of the outermost must not be recursion.
impl<T: Child> Drop for Node<T> {
    fn drop(&mut self) {
        // The result of a when_any is one of them.
        let result = self.result.take();
        let children: Vec<_> = std::mem::take(&mut self.children).into_iter().map(Py::into_any).chain(result).collect();
        let first = LEFT_BEHIND.with_borrow_mut(|left_behind| {
            if let Some(left_behind) = left_behind {
                left_behind.push(children);
                return None;
            }
            *left_behind = Some(Vec::new());
            Some(children)
        });
        let mut next = first;
        while let Some(children) = next {
            drop(children);
            next = LEFT_BEHIND.with_borrow_mut(|left_behind| {
                let more = left_behind.as_mut().and_then(Vec::pop);
                if more.is_none() {
                    *left_behind = None;
                }
                more
            });
        }
    }
}
