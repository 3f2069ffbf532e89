"""The base station: archive, live processing, results, alarms, publication and the interface for other programs."""
