//! The sidecar as its clients and workers see it: over gRPC, in this process, and as a program that can be killed.

mod access;
mod activities;
mod command;
mod connections;
mod database;
mod durability;
mod family;
mod histories;
mod instances;
mod listing;
mod metrics;
mod other_apps;
mod propagation;
mod retention;
mod support;
mod timers;
mod watching;
mod workers;
