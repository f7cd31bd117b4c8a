"""Edges: other protocols than MQTT and HTTP, each made to messages of the road."""
