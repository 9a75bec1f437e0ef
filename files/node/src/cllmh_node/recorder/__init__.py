"""The recorder: per camera a session, a ring, a watch for motion, a state machine and clips; one process per core."""
