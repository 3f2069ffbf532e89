"""The check before the case is closed: every part of a node, good or bad with what to do."""
