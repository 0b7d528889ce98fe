"""Orchestrations in tests: a sidecar, a worker and a client, and a time that passes by itself.

    from durabletask.testing import Environment

    def test_an_order_is_cancelled_when_nobody_pays():
        with Environment(orchestrators=[order], activities=[("charge", fake_charge)]) as env:
            assert env.run(order, input=cart) == "cancelled"     # after 30 days, in milliseconds

Time stands still while anything runs and passes at once to the next timer when nothing does: timers, retries,
timeouts and scheduled starts all follow it. Everything has the same history each time, timestamps and ids included.

pytest offers it as the fixture `durabletask_environment`, a function with the same arguments.
"""

from durabletask.testing._environment import Environment

__all__ = ["Environment"]
