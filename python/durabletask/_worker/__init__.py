"""The parts of the worker. Public names are exported by `durabletask.worker`."""
