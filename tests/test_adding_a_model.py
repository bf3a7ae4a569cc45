"""docs/adding-a-model.md, walked through: its files are written, its lines typed, its records read."""

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import torch

import vigbench

PAGE = (Path(__file__).parents[1] / "docs" / "adding-a-model.md").read_text()
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
FILE = re.compile(r"# (\S+\.(?:py|toml|yaml))\n")  # the first line of a block that is a file
SMALLER = {
    "8x112x112,8x224x224": "2x32x32",
    "224,512": "32",
    "run = vigbench.run(": "from vigbench.suites.planner import Overrides\n\nrun = vigbench.run(",
    "[224, 512]": "[32], device='cpu', overrides=Overrides(threads=1, budget=7200.0)",
    "--resolution 224": "--resolution 32",
}
QUICKER = {
    "vigbench plan": " --device cpu",
    "vigbench run": " --device cpu --threads 1 --budget 2h --quiet",
    "vigbench duel": " --device cpu --threads 1 --processes 2 --blocks 3 --quiet",
}
PARAMS = 2_175_784


def files() -> dict[str, str]:
    return {name[1]: text for _, text in BLOCKS if (name := FILE.match(text))}


def macs(side: int) -> int:
    """Multiply-adds of `make_net`: patches, six blocks, head."""
    positions = (side // 16) ** 2
    return positions * (3 * 16 * 16 * 192 + 6 * (49 * 192 + 2 * 192 * 4 * 192)) + 192 * 1000


def defined(name: str, **given: Any) -> dict[str, Any]:
    """What a file of the page defines; `given` takes the place of what it imports from the page's package."""
    namespace: dict[str, Any] = {"__name__": "page", **given}
    exec(re.sub(r"^from my_pkg.*$", "", files()[name], flags=re.MULTILINE), namespace)
    return namespace


def test_the_page_has_the_commands_of_both_ways() -> None:
    lines = [line for kind, text in BLOCKS if kind == "sh" for line in text.splitlines()]
    assert set(files()) == {"my_pkg/models.py", "my_pkg/sized.py", "my_pkg/clips.py", "pyproject.toml", "widths.yaml"}
    assert any(line.startswith("vigbench run --subject my_pkg.models:make_net") for line in lines)
    assert "pip install -e ." in lines
    assert f"{PARAMS:,} parameters" in PAGE


def test_the_page_s_networks_are_what_it_says() -> None:
    make_net = defined("my_pkg/models.py")["make_net"]
    sized = defined("my_pkg/sized.py", make_net=make_net)["SizedNet"]
    with torch.device("meta"):
        net = make_net()
        assert sum(one.numel() for one in net.parameters()) == PARAMS
        assert net(torch.empty(2, 3, 64, 64)).shape == (2, 1000)
        assert sized(img_size=32)(torch.empty(1, 3, 32, 32)).shape == (1, 1000)
    assert vigbench.count_cost(net, (1, 3, 64, 64)).macs == macs(64)
    with pytest.raises(ValueError, match="multiple of 16"):
        sized(img_size=40)


class Walk:
    """Somebody who follows the page in an empty folder."""

    def __init__(self, folder: Path) -> None:
        self.here, self.said = folder / "here", ""
        self.here.mkdir()
        commands = folder / "bin"
        commands.mkdir()
        script = commands / "vigbench"
        # -P: a console script does not find the modules of the current folder by itself
        script.write_text(f'#!/bin/sh\nexec "{sys.executable}" -P -m vigbench "$@"\n')
        script.chmod(0o755)
        python_path = os.pathsep.join(filter(None, sys.path))
        path = os.pathsep.join([str(commands), os.environ["PATH"]])
        self.environment = {**os.environ, "PATH": path, "PYTHONPATH": python_path, "COLUMNS": "200"}

    def follow(self) -> None:
        """Every block of the page, in its order."""
        for kind, text in BLOCKS:
            for large, small in SMALLER.items() if kind != "yaml" else ():
                text = text.replace(large, small)
            if name := FILE.match(text):
                (self.here / name[1]).write_text(text)
            elif kind == "python":
                self._run([sys.executable, "-P", "-c", text])
            else:
                for line in text.splitlines():
                    self._type(line)

    def _type(self, line: str) -> None:
        if line == "pip install -e .":
            self._install()
            return
        more = next((options for command, options in QUICKER.items() if line.startswith(command)), "")
        self._run(["sh", "-c", line + more])

    def _run(self, command: list[str]) -> None:
        done = subprocess.run(command, cwd=self.here, env=self.environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
        self.said += done.stdout

    def _install(self) -> None:
        """What pip leaves behind after an editable installation, without a network."""
        project = tomllib.loads((self.here / "pyproject.toml").read_text())["project"]
        site = self.here.parent / "site"
        metadata = site / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
        metadata.mkdir(parents=True)
        (metadata / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n"
        )
        groups = [
            "\n".join([f"[{group}]", *(f"{name} = {target}" for name, target in entries.items())])
            for group, entries in project["entry-points"].items()
        ]
        (metadata / "entry_points.txt").write_text("\n\n".join(groups) + "\n")
        python_path = [str(site), str(self.here), self.environment["PYTHONPATH"]]
        self.environment["PYTHONPATH"] = os.pathsep.join(python_path)


@pytest.mark.slow
@pytest.mark.timeout(7200)  # eight commands, each of them a few processes
def test_the_walk(tmp_path: Path) -> None:
    walk = Walk(tmp_path)
    walk.follow()
    runs = sorted((walk.here / "results").glob("custom-cpu-*"))
    assert len(runs) == 6
    assert str(runs[2].name) in walk.said, "the run from Python says its folder"
    assert all((run / "report.html").is_file() for run in runs if run is not runs[2])
    assert len(list((walk.here / "results").glob("duel-*"))) == 1
    frame = vigbench.load_results(runs)
    assert frame["status"].tolist() == ["ok"] * len(frame), frame[["subject", "status", "reason"]].to_string()
    assert set(frame["subject"]) == {
        "deit_tiny_patch16_224",
        "my_pkg.models:make_net",
        "my_pkg.models:make_wide_net",
        "my_pkg.sized:SizedNet",
        "my_pkg.clips:ClipNet",
        "my_net",
        "my_wide_net",
    }
    (suite,) = (walk.here / "results").glob("widths-cpu-*")
    widths = vigbench.load_results(suite)
    assert widths["args"].tolist() == ["", '{"channels": 384}', '{"in_chans": 1, "num_classes": 10}']
    assert widths["status"].tolist() == ["ok"] * 3
    assert widths["params"][0] == PARAMS < widths["params"][1]
    clips = frame["subject"] == "my_pkg.clips:ClipNet"
    assert set(frame.loc[~clips, "resolution"]) == {32}
    assert set(zip(frame.loc[clips, "resolution"], frame.loc[clips, "unit"], strict=True)) == {("2x32x32", "clip")}
    nets = frame[frame["subject"].isin(["my_pkg.models:make_net", "my_net"])]
    assert set(nets["params"]) == {PARAMS}
    for side, gmacs in zip(nets["resolution"], nets["gmacs"], strict=True):
        assert gmacs == pytest.approx(macs(int(side)) / 1e9, rel=1e-6)
    assert set(frame.loc[frame["subject"] != "deit_tiny_patch16_224", "family"]) == {"other"}
    assert "plug-in of my-pkg 0.1: my_pkg.models:make_net" in walk.said
    assert "my_pkg.models:make_net 32px b1 float32" in walk.said
    assert "times as long as" in walk.said
