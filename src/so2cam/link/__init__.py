"""The wire: messages, and the ways they go."""
