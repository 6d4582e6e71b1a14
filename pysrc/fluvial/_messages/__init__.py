"""The parts of HTTP messages: header fields, cookies, files and pieces of bodies."""
