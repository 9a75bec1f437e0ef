"""The Backup Manager: records the channels of one DVR in parallel for a given time, adapting to the CPU's load.

The order is the way of a run: settings (environment) -> health -> login -> load (dynamic values) -> room -> batches (a
process each channel: recorder, check, rename) -> reports. `files/backup_manager/backup_manager.py` and
`cllmh-node backup` are thin fronts of it.
"""
