"""Payloads: values to JSON, JSON to values and types. Public names are exported by `durabletask.payloads`."""
