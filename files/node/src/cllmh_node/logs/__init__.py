"""What a node knows of its log lines: how full syslog-ng's disk buffers are, and which ids it took.

syslog-ng itself moves the lines (role `syslog_ng`); this looks at its files every five minutes
(`cllmh-node logs-watch`).
"""
