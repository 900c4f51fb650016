"""Whole histories of customers, Stripe's clock and Stripe's chaos, and what must be true at their end.

wire.py   our gateway and the local Stripe in one process, no sockets between them
world.py  a few users, the app and Stripe living in the same time; every step that can happen to them
steps.py  histories as plain data, drawn by seed
checks.py what must be true once everything works again, read from Stripe itself and never through sync.py
story.py  live a history, heal, check; make one that fails as short as it can be

`python -m benchmarks.histories 10000` lives many; billing/tests/test_histories_converge.py a few in every test run.
"""
