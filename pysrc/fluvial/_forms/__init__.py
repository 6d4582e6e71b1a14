"""Reading forms: URL-encoded ones and multipart ones (RFC 7578), as the body arrives."""
