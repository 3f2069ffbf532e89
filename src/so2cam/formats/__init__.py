"""Bytes to vocabulary and back: image files and their names, folders of them, line files, the site file, products."""
