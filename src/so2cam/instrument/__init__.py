"""The agent on the volcano: supervision, capture, settings, health. Light: numpy and pydantic, no science, no web."""
