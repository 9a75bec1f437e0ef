"""The way of a log line from node to hub, as real programs on this machine, and what can strike it."""
