"""Serving an app: the command, the configuration, the sockets, the processes and their end."""
