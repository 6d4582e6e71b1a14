"""The parts of HTTP messages: header fields, cookies, files, and bodies in pieces."""
