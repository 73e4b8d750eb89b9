"""Builders, a manual clock and the contract suites of every port."""
