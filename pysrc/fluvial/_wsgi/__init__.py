"""WSGI apps: on the server's own bridge in C, and as ASGI apps where that doesn't reach."""
