"""Clients and settings: what the platform talks to, wired per deployment."""
