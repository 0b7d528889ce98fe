//! The replay engine of Durable Task: history events in, orchestrator actions out.
