"""What a live demo came to: emission rates against the truth, columns against the truth, and files."""

import math
from dataclasses import dataclass, field


@dataclass(slots=True)
class Tally:
    """Sums of retrieved and true values of one thing, where both are known."""

    count: int = 0
    retrieved: float = 0.0
    true: float = 0.0

    def add(self, retrieved: float, true: float) -> None:
        """Count one pair of values."""
        self.count += 1
        self.retrieved += retrieved
        self.true += true

    @property
    def error_percent(self) -> float:
        """Error of the mean, per cent of the truth; NaN without values."""
        return 100 * (self.retrieved / self.true - 1) if self.true else math.nan


@dataclass(slots=True)
class Files:
    """Files of one kind: kept by the instrument, acknowledged to it, in the archive, and whole there by SHA-256."""

    kept: int = 0
    acknowledged: int = 0
    archived: int = 0
    verified: int = 0

    @property
    def words(self) -> str:
        """The account, in words."""
        archive = f"{self.archived} in the archive, {self.verified} of them verified by their SHA-256"
        return f"kept by the instrument: {self.acknowledged} acknowledged, {archive}"


@dataclass(slots=True)
class LiveReport:
    """What a live demo came to."""

    pairs: int = 0
    first_rate_s: float | None = None
    tallies: dict[tuple[str, str], Tally] = field(default_factory=dict)
    """Emission rates [kg s-1] by line and speed method"""
    columns: Tally = field(default_factory=Tally)
    """SO2 columns of the spectrometer [molecules cm-2]"""
    calibrated: int = 0
    """Pairs that the spectrometer calibrated, with the gas cells"""
    frames: Files = field(default_factory=Files)
    spectra: Files = field(default_factory=Files)

    @property
    def summary(self) -> tuple[str, ...]:
        """The account of files and times, in words."""
        first = "none came" if self.first_rate_s is None else f"the first after {self.first_rate_s:.1f} s"
        lines = [
            f"{self.frames.kept} frames {self.frames.words}",
            f"{self.spectra.kept} spectra {self.spectra.words}",
            f"{self.pairs} pairs processed, {self.valid} emission rates; {first}",
            f"{self.calibrated} pairs calibrated by gas cells and spectrometer, those before by the cells alone",
        ]
        if self.columns.count:
            mean, true = (value / self.columns.count for value in (self.columns.retrieved, self.columns.true))
            lines.append(
                f"{self.columns.count} SO2 columns of the spectrometer: mean {mean:.3g}, true {true:.3g} molecules/cm2 "
                f"({self.columns.error_percent:+.1f} %)"
            )
        return tuple(lines)

    @property
    def valid(self) -> int:
        """How many emission rates were found."""
        return sum(tally.count for tally in self.tallies.values())
