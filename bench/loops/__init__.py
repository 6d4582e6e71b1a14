"""What bench/loop.py measures: small programs that run on any asyncio loop."""
