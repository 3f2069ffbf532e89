"""The pages that people see in a browser: they show what the station knows and ask its services; no science here."""
