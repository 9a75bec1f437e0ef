"""The proof that no log line is missing: the ids that nodes state against the ids that the store has, hour by hour.

Forward only: `loki_pages` or `elasticsearch_pages` reads the store -> `statements` and `holdings` keep ids as ranges ->
`hours` joins them.
"""
