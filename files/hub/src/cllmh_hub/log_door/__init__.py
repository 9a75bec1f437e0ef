"""The hub's door for the nodes' log lines: who writes is what the certificate says, and no line is lost on the way.

A batch goes in, its store (Loki, Elasticsearch) takes it or the node keeps it, and what a store will never take is
archived as a dead letter.
"""
