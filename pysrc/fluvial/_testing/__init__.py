"""The parts of the test client: an app on a loop in a thread, and clients at its sockets."""
