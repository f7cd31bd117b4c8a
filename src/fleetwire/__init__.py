"""Fleetwire: the device backend in one process."""
