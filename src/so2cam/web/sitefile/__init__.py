"""The parts of the page of the site file: all keys, the text, what differs, versions, and import."""
