"""What root does for the instrument: switching the follower, stopping cleanly, the power board's schedule.

Standard library only, nothing of so2cam: it is copied to a folder of root's and runs as
``/usr/bin/python3 -I -S /usr/lib/so2cam-power COMMAND``. Every wait has an end, nothing loops for ever, and a step that
fails is reported and does not keep the next from being done.
"""
