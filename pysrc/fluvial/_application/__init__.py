"""What an App is made of beside its routes: middleware, exception handlers, its lifespan."""
