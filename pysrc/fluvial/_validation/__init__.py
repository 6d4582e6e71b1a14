"""From texts and JSON to declared types, from objects to JSON, and the errors of both."""
