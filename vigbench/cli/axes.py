"""Options for the axes of a sweep, made from their declarations in suites/axes.py: a new axis has them by itself."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import Annotated, Any

import typer

from vigbench.cli.options import listed
from vigbench.suites.axes import SWEPT, Axis, option_of, true_or_false

AxisValues = Mapping[str, Any] | None
"""What a command is given under the name `axes`: the axes that somebody has set, by name."""

# typer ships click or depends on it, by version: the base of all its usage errors is reached through typer alone
UsageError: type[Exception] = next(base for base in typer.BadParameter.__mro__ if base.__name__ == "UsageError")


def usage_message(error: Exception) -> str:
    """What was wrong with a command line; of an option that earlier versions had, what it is now."""
    message: str = error.format_message()  # type: ignore[attr-defined]
    asked = getattr(error, "option_name", "")
    now = [axis for axis in SWEPT if axis.before and asked == option_of(axis.before[0])]
    return f"{message}. It is {now[0].option} now: {now[0].help}" if now else message


def several_values(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command an option for each axis that takes several values, with commas between them."""

    def option(axis: Axis) -> tuple[Any, Any]:
        parser = _parser(axis, lambda text: [axis.read(part) for part in listed(axis.option, text, "value")])
        return Annotated[str | None, typer.Option(axis.option, help=axis.help, parser=parser, metavar="TEXT")], None

    return _with_options(command, SWEPT, option)


def one_value(*without: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Give a command an option for each axis but those named, each with one value; flags need none."""

    def option(axis: Axis) -> tuple[Any, Any]:
        if axis.read is true_or_false:
            return Annotated[bool, typer.Option()], axis.default
        help_text = axis.help.partition(", e.g.")[0].rstrip(".") + "."
        parser = _parser(axis, axis.read)
        return Annotated[str | None, typer.Option(axis.option, help=help_text, parser=parser, metavar="TEXT")], None

    wanted = [axis for axis in SWEPT if axis.name not in without]
    return lambda command: _with_options(command, wanted, option)


def _parser(axis: Axis, read: Callable[[str], Any]) -> Callable[[str], Any]:
    """`read` as an option's parser, which says what is wrong. It has a name, which click 8.1 asks for."""

    def parse(text: str) -> Any:
        try:
            return read(text)
        except ValueError as error:  # which typer would replace by the text alone
            said = str(error)
            raise UsageError(said if said.startswith(axis.option) else f"{axis.option}: {said}.") from error

    return parse


def _with_options(
    command: Callable[..., Any], axes: Iterable[Axis], option: Callable[[Axis], tuple[Any, Any]]
) -> Callable[..., Any]:
    """The command with the parameter `axes` spread into options, in its place."""
    signature = inspect.signature(command, eval_str=True)
    parameters: list[inspect.Parameter] = []
    for parameter in signature.parameters.values():
        if parameter.name != "axes":
            parameters.append(parameter)
            continue
        for axis in axes:
            annotation, default = option(axis)
            parameters.append(parameter.replace(name=axis.name, annotation=annotation, default=default))
    names = [axis.name for axis in axes]

    def with_axes(**arguments: Any) -> Any:
        values = {name: arguments.pop(name) for name in names}
        return command(**arguments, axes={name: value for name, value in values.items() if value is not None})

    with_axes.__doc__, with_axes.__name__ = command.__doc__, command.__name__
    with_axes.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    with_axes.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    return with_axes
