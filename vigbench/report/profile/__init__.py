"""The pictures of a profile: time by module, memory over time, operators against the device's ceilings."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vigbench.records.profile import ProfileRecord

__all__ = ["plot_profile", "write_figures"]


def plot_profile(folder: str | Path) -> Path:
    """Draw the profile in `folder`: modules, memory and roofline as PNG and SVG; returns their folder.

    Raises:
        ValueError: if it holds no profile, or a damaged one.
    """
    from vigbench.records.profile import ProfileRecord

    write_figures(ProfileRecord.read(Path(folder)), Path(folder))
    return Path(folder) / "figures"


def write_figures(record: ProfileRecord, folder: Path) -> None:
    """Write modules, memory and roofline as PNG and SVG into `folder/figures`; OSError if that fails."""
    from vigbench.report.figures.sheet import look
    from vigbench.report.figures.svg import save
    from vigbench.report.profile.memory import draw_memory  # matplotlib loads only when something is drawn
    from vigbench.report.profile.modules import draw_modules
    from vigbench.report.profile.roofline import draw_roofline

    figures = folder / "figures"
    figures.mkdir(exist_ok=True)
    with look(text_as_paths=True):
        for name, draw in (("modules", draw_modules), ("memory", draw_memory), ("roofline", draw_roofline)):
            figure = draw(record)
            if figure is not None:
                save(figure, figures, name)
