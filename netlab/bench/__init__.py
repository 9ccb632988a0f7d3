"""Measuring servers against each other: one load generator, one server core, rounds that alternate.

Reading order: `results` (what a row is), `cpu` (server-core time), `memcaslap` (the load), `targets` (the servers),
`runner` (one measured interval, and the order of all of them), `environment` (what a number is worth without).
"""
