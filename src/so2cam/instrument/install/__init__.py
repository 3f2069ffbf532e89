"""What the operating system of a node needs: made from the site file, compared with what is there, and written."""
