"""From a handler's signature to the plan that C executes; from its result to a response."""
