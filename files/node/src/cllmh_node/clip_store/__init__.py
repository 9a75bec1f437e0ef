"""The hub's store of clips that nodes have sent: what takes them in, keeps them, and makes room."""
