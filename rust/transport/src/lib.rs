//! The worker's wire: gRPC calls, the stream of work items, and reports of what came of them.
//!
//! A [`Transport`] is one thread that does all the network's work. Whoever uses it is on threads of its own and knows
//! nothing of async: it waits in [`Connection::take`] for messages, hands reports over by [`Connection::report`] without
//! waiting, and is told later, by `take` again, what became of them. What messages say is not known here.
//!
//! gRPC is spoken on [`h2`] itself. A stream and unary calls are all that is needed; a full client's layers would cost
//! more for each report than all else here.

mod call;
mod connection;
mod inbox;
mod links;
mod message;
mod metadata;
mod reports;
mod status;
mod target;
mod thread;

pub use bytes::Bytes;

pub use connection::{Connection, Settings};
pub use inbox::{Outcome, Taken};
pub use metadata::{InvalidMetadata, Metadata};
pub use status::{Code, Status};
pub use target::{InvalidTls, Target, Tls};
pub use thread::Transport;
