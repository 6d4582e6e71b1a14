"""From texts and JSON to declared types, from objects to JSON, and what is wrong with either."""
