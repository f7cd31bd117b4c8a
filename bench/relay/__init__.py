"""How fast, how late and how completely messages go from client to client."""
