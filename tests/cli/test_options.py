"""Texts of options that become sizes and lists."""

import pytest

from vigbench.cli.options import listed, memory_mib


@pytest.mark.parametrize(
    ("text", "mib"),
    [("8GiB", 8192), ("512MiB", 512), (" 1.5 gib ", 1536), ("0.5MiB", 0.5), ("8GB", 8e9 / 2**20), ("1TiB", 2**20)],
)
def test_a_size_has_a_unit(text: str, mib: float) -> None:
    assert memory_mib("--memory", text) == pytest.approx(mib)


@pytest.mark.parametrize("text", ["", "much", "8", "8.5", "0GiB", "-1GiB", "8 quarters", "nan GiB"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"--memory: .* is not a size; write for example 8GiB or 512MiB\."):
        memory_mib("--memory", text)


def test_names_stand_between_single_commas() -> None:
    assert listed("--across", " torch, gpu") == ["torch", "gpu"]
    for text in ("", " , ", "torch,", ",torch", "torch,,gpu"):
        with pytest.raises(ValueError, match=r"^--across: a name is empty; write names with single commas between"):
            listed("--across", text)
