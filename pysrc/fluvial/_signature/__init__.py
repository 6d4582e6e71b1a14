"""From a handler's signature to the plan that C executes, and from its result to a response."""
