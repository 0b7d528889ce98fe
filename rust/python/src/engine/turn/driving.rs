//! The user's code is resumed when what it waits for has completed, until it waits for something that has not.

use pyo3::exceptions::PyStopIteration;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::iterator::PySendResult;

use super::{Stop, Turn};
use crate::failures;
use crate::tasks::{Task, TaskState};

impl<'py> Turn<'_, 'py> {
    /// Resumes the user's code as long as what it waits for has completed.
    pub(super) fn resume(&mut self) -> Result<(), Stop> {
        while let Some(awaited) = &self.awaited {
            // Cheaper than to ask for the state, which mostly is that it waits.
            if !awaited.get().is_over(self.py) {
                return Ok(());
            }
            let next = match awaited.get().state(self.py)? {
                TaskState::Pending => return Ok(()),
                TaskState::Completed(value) => self.send(value)?,
                TaskState::Failed(error) => self.throw(error)?,
            };
            self.awaited = next;
        }
        Ok(())
    }

    /// Resumes the user's code with the value of the very task that it waits for, which has just completed.
    #[inline]
    pub(super) fn resume_with(&mut self, value: Bound<'py, PyAny>) -> Result<(), Stop> {
        self.awaited = self.send(value)?;
        self.resume()
    }

    /// Resumes the user's code with a value; returns the task that it waits for next, or `None` if it has ended.
    #[inline]
    pub(super) fn send(&self, value: Bound<'py, PyAny>) -> Result<Option<Bound<'py, Task>>, Stop> {
        let Some(routine) = &self.routine else { return Ok(None) };
        let value = if routine.takes_results { value } else { self.py.None().into_bound(self.py) };
        match routine.iterator.send(&value).map_err(Stop::Raised)? {
            PySendResult::Next(yielded) => self.task(yielded).map(Some),
            PySendResult::Return(result) => self.complete(&result).map(|()| None),
        }
    }

    fn throw(&self, error: PyErr) -> Result<Option<Bound<'py, Task>>, Stop> {
        let Some(routine) = &self.routine else { return Ok(None) };
        if !routine.takes_results {
            // The awaiter raises it.
            return self.send(self.py.None().into_bound(self.py));
        }
        let thrown = routine.iterator.call_method1(intern!(self.py, "throw"), (error.into_value(self.py),));
        match thrown {
            Ok(yielded) => self.task(yielded).map(Some),
            Err(error) if error.is_instance_of::<PyStopIteration>(self.py) => {
                let result = error.value(self.py).getattr(intern!(self.py, "value"))?;
                self.complete(&result).map(|()| None)
            }
            Err(error) => Err(Stop::Raised(error)),
        }
    }

    #[inline]
    #[allow(unsafe_code, reason = "PyO3 asks for the class by name, so to say, each time")]
    fn task(&self, yielded: Bound<'py, PyAny>) -> Result<Bound<'py, Task>, Stop> {
        // Code mostly waits for tasks of one class.
        if let Some(before) = &self.awaited
            && yielded.get_type_ptr() == before.get_type_ptr()
        {
            // SAFETY: an object of the same class is a task, too.
            return Ok(unsafe { yielded.cast_into_unchecked() });
        }
        yielded.cast_into::<Task>().map_err(|error| {
            Stop::Raised(failures::no_task(&error.into_inner(), &failures::whereabouts(self.py, &self.code(None))))
        })
    }
}
