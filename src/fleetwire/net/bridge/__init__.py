"""Bridges: topics of this broker to and from other brokers."""
