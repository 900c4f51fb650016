"""A local Stripe: a stateful emulation of the Stripe API, in one process with one database file.

It imports nothing of the applications that use it. See README.md for what is covered and what is not.
"""

# The version that stripe-python 15.6.2 pins; the shapes in contract/contract.json belong to it.
API_VERSION = "2026-08-26.dahlia"
