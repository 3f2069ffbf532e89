"""Durable storage: files that are kept are written whole or not at all."""
