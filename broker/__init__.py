"""The broker: takes jobs in, feeds them to workers at the rate the pool allows, and hands results out."""
