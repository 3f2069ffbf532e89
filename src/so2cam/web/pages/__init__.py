"""The pages: one module each, found by ``web.registry``."""
