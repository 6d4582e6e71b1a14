"""The parts of an App: routes, middleware, exception handlers and the lifespan."""
