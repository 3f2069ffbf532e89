"""The quicklook: one page by which a person can judge a run, as PNG.

Left, on one time axis: the total emission rate, where and why it is missing, plume speed and column amounts.
Middle: an example image with the lines and the apparent motion, and the column density along each line. Right: a
summary in words and the calibration.
"""

from so2cam.formats.quicklook.page import draw_quicklook, write_quicklook
from so2cam.formats.quicklook.values import total_reasons
from so2cam.formats.quicklook.words import wrap_text

__all__ = ["draw_quicklook", "total_reasons", "wrap_text", "write_quicklook"]
