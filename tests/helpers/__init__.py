"""Fakes, fixtures and builders that several test modules share."""
