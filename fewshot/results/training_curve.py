"""The training curve of a run, drawn from what its training logged."""

import io

Series = dict[str, list[tuple[int, float]]]  # name -> (step, value), steps ascending


def loss_series(series: Series) -> Series:
    """The total loss alone if one is logged (its name ends in `total` or `loss`), else every loss term."""
    total = {name: points for name, points in series.items() if name.split("/")[-1] in ("total", "loss")}
    return total or {name: points for name, points in series.items() if "loss" in name.lower()}


def validation_series(series: Series) -> Series:
    """The validation scores: every name whose last part is J, F or JF."""
    return {name: points for name, points in series.items() if name.split("/")[-1] in ("J", "F", "JF")}


def curve_picture(series: Series) -> bytes | None:
    """The loss and, if there is one, the validation score over steps as a PNG; None if there is nothing to draw."""
    from matplotlib.figure import Figure  # without pyplot: no global state, no display

    titled = {"training loss": loss_series(series), "validation, base classes": validation_series(series)}
    panels = [(title, found) for title, found in titled.items() if found]
    if not panels:
        return None
    figure = Figure(figsize=(5.6 * len(panels), 3.6), layout="constrained")
    for position, (title, found) in enumerate(panels, start=1):
        axes = figure.add_subplot(1, len(panels), position)
        for name, points in sorted(found.items()):
            steps, values = zip(*points, strict=True)
            # A long series is noise with a trend: the trend gets the ink.
            window = len(values) // 20
            if window > 1:
                (line,) = axes.plot(steps, values, linewidth=0.6, alpha=0.35)
                axes.plot(steps, _smoothed(values, window), linewidth=1.8, color=line.get_color(), label=name)
            else:
                axes.plot(steps, values, marker="o", markersize=3, linewidth=1.4, label=name)
        axes.set(title=title, xlabel="step")
        axes.grid(alpha=0.3)
        axes.legend(frameon=False, fontsize=8)
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=110)
    return content.getvalue()


def _smoothed(values: tuple[float, ...], window: int) -> list[float]:
    """Mean of the last `window` values; fewer at the start."""
    recent = (values[max(0, stop - window) : stop] for stop in range(1, len(values) + 1))
    return [sum(part) / len(part) for part in recent]
