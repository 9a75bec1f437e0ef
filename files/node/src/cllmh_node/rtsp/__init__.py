"""A camera's session: RTSP over TCP, its encoded frames with the time they were taken."""
