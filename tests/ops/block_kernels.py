"""The kernels around ViG's operator, to be compiled: `python -m tests.ops.block_kernels` prints what each one takes.

Its rows are those of docs/kernels-block.md.
"""

from tests.ops.calls import Call, gated_projection_call, mlp_call, norm_conv_call, stem_call
from tests.ops.gla.compiling import AMD_LANES, SHARED_LIMIT, Resources, compiled, target_name


def calls(capability: int | str, dtype: str = "bfloat16") -> dict[str, Call]:
    """ViG-T's widths, ViG-S's (two kernels where ViG-T has one), and LayerNorm, which ViG-H has."""
    return {
        "stem": stem_call(dtype),
        "norm_conv": norm_conv_call(dtype, 192),
        "norm_conv, LayerNorm": norm_conv_call(dtype, 96, centred=True),
        "norm_conv, wide": norm_conv_call(dtype, 768),
        "gated_projection": gated_projection_call(dtype, 3, 64, 192),
        "gated_projection, ViG-H": gated_projection_call(dtype, 3, 32, 96),
        "mlp": mlp_call(dtype, 192, 512, capability),
        "mlp, LayerNorm": mlp_call(dtype, 96, 256, capability, centred=True),
        "mlp, wide": mlp_call(dtype, 384, 1024, capability),
    }


def main() -> None:
    """A line of Markdown a kernel: registers, spilled bytes and bytes of shared memory on each target."""
    rows: dict[tuple[str, str], list[Resources]] = {}
    targets = (*SHARED_LIMIT, *AMD_LANES)
    for capability in targets:
        for name, call in calls(capability).items():
            for kernel in compiled(capability, call):
                rows.setdefault((name, kernel.kernel), []).append(kernel)
    print("| call | kernel |", " | ".join(map(target_name, targets)), "|")
    print("|---|---|" + "---|" * len(targets))
    for (name, kernel), found in rows.items():
        print(f"| {name} | {kernel} |", " | ".join(f"{x.registers}, {x.stack}, {x.shared:,}" for x in found), "|")


if __name__ == "__main__":
    main()
