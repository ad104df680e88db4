"""Deterministic simulation: payers, an app, FeexPay, the worker and staff in one process, all ruled by one seed.

`python -m tests.simulation --seeds 200` (`make simulate`) runs seeds; `--seed 17` repeats one and prints its trace.
The idea is TigerBeetle's: time, randomness, the gateway and the order in which the actors run come from the seed, so a
failure can be repeated as often as needed. The soak (`tests.soak`) tests what this cannot: sockets, locks, `kill -9`.
"""
