"""What the benchmark scripts share: starting servers, loading them, reading what it cost."""
