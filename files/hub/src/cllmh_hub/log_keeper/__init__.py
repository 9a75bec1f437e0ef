"""Looks after the log lines in Elasticsearch: which days are kept, snapshots, and the template of the indices.

The indices are `cllmh-logs-<class>-<YYYY.MM.DD>`; retention deletes whole days, which every distribution of
Elasticsearch can do.
"""
