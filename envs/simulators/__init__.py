"""Machines that are none: programs that speak a device's own protocol, for trials and tests."""
