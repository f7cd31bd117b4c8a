"""How fast, how late and how completely messages are stored before they are acknowledged."""
