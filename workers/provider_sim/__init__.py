"""A simulated provider over real HTTP, with real limits, seeded faults and its own ledger of paid calls.

It judges everything that calls it, so it shares no limiting or protocol code with the broker.
"""
