"""Requests of many clients, run together through the heads that read a whole text at once."""
