"""The verbs of `cllmh-node`, one module each; `cllmh_node.cli` finds them here and says what a verb module has."""
