"""Several processes train one model, on torch's own engines: DDP, or FSDP2 with a shard of the model in each.

`torchrun --nproc-per-node N -m humanturn train ...` starts them. The first one alone decides whether there is work,
writes, and speaks; a single process is a world of one and goes through the same code.
"""

import atexit
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from humanturn.errors import HumanturnError
from humanturn.models.packed import TokenSequence
from humanturn.records import StageResult

T = TypeVar("T")

Work = Callable[[], dict[str, Any]]


def world() -> int:
    """Number of processes."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def rank() -> int:
    """Number of this one, from 0."""
    return int(os.environ.get("RANK", "0"))


def on_this_machine() -> int:
    """Number of processes on this machine."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", "1"))


def join() -> None:
    """Join the other processes until this one ends: gloo on CPU, NCCL on CUDA."""
    if world() == 1:
        return
    import torch

    if torch.distributed.is_initialized():
        return
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    torch.distributed.init_process_group("cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo")
    atexit.register(torch.distributed.destroy_process_group)


def led(stage: Callable[[Work], StageResult], work: Work) -> StageResult:
    """`stage(work)` on the first process, which alone may skip or refuse; the others do the work that it begins.

    Raises:
        SystemExit: on the others, when the first one refused and said why.
    """
    if world() == 1:
        return stage(work)
    if rank():
        unknown: Any = None
        verdict = tell(unknown)
        if verdict == "work":
            return StageResult("train", work(), False, 0.0)
        if isinstance(verdict, StageResult):
            return verdict
        raise SystemExit(verdict)
    begun: list[bool] = []

    def begin() -> dict[str, Any]:
        begun.append(True)
        tell("work")
        return work()

    try:
        result = stage(begin)
    except BaseException as error:
        if not begun:
            tell(error.exit_code if isinstance(error, HumanturnError) else 1)
        raise
    if not begun:
        tell(result)
    return result


def tell(value: T) -> T:
    """The first process's `value`, everywhere."""
    if world() == 1:
        return value
    import torch

    box = [value]
    torch.distributed.broadcast_object_list(box, src=0)
    return box[0]


def wait() -> None:
    """Go on when every process is here."""
    tell(None)


def together(work: Callable[[Sequence[T]], list[Any]], items: Sequence[T]) -> list[Any]:
    """`work(items)` with the items shared out in blocks; the whole result, in order, everywhere.

    `work` gives results in the order of its items.
    """
    if world() == 1:
        return work(items)
    import torch

    edges = [len(items) * n // world() for n in range(world() + 1)]
    found: list[list[Any]] = [[] for _ in range(world())]
    torch.distributed.all_gather_object(found, work(items[edges[rank()] : edges[rank() + 1]]))
    return [result for block in found for result in block]


def share_out(rows: Sequence[Sequence[TokenSequence]]) -> list[list[Sequence[TokenSequence]]]:
    """The rows of one step for each process: about as many tokens, and exactly as many rows.

    Every row costs a gathering of gradients or weights that all take part in; a process that has fewer gets empty ones.
    """
    shares: list[list[Sequence[TokenSequence]]] = [[] for _ in range(world())]
    loads = [0] * world()
    for row in sorted(rows, key=_tokens, reverse=True):
        least = loads.index(min(loads))
        shares[least].append(row)
        loads[least] += _tokens(row)
    most = max(map(len, shares))
    return [[*share, *[()] * (most - len(share))] for share in shares]


def _tokens(row: Sequence[TokenSequence]) -> int:
    return sum(len(sequence.ids) for sequence in row)


def total(value: Any) -> Any:
    """Sum of a tensor over the processes, in place."""
    if world() > 1:
        import torch

        torch.distributed.all_reduce(value)
    return value


def shard(causal: Any) -> None:
    """FSDP2: every process keeps its part of each parameter; layers are gathered as they are needed."""
    import torch
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    mesh = init_device_mesh("cuda" if torch.cuda.is_available() else "cpu", (world(),))
    blocks = set(getattr(causal, "_no_split_modules", None) or ())
    layers = [module for module in causal.modules() if type(module).__name__ in blocks]
    for module in (*layers, causal):
        # Adapters are float32 beside a bfloat16 backbone; what is gathered together has to be of one type.
        odd = [part for part in module.modules() if _trained_leaf(part)] if _mixed(module) else []
        for part in odd:
            fully_shard(part, mesh=mesh)
        fully_shard(module, mesh=mesh, reshard_after_forward=True)


def _mixed(module: Any) -> bool:
    return len({p.dtype for p in module.parameters()}) > 1


def _trained_leaf(module: Any) -> bool:
    own = list(module.parameters(recurse=False))
    return bool(own) and all(p.requires_grad for p in own)


def is_sharded(model: Any) -> bool:
    """Whether its parameters are DTensors."""
    from torch.distributed.tensor import DTensor

    return any(isinstance(p, DTensor) for p in model.parameters())


class InStep:
    """A sharded model that processes call with unequal work: whoever has none left helps the others' layers gather.

    Every call of any process is a call of all of them.
    """

    def __init__(self, causal: Any) -> None:
        self.causal = causal

    def __getattr__(self, name: str) -> Any:
        return getattr(self.causal, name)

    def __call__(self, *args: Any, **inputs: Any) -> Any:
        """A forward pass, in step with the others."""
        self._anyone(1)
        return self.causal(*args, **inputs)

    def finish(self) -> None:
        """Take part in the calls that the others still make."""
        import torch

        idle = torch.zeros((1, 1), dtype=torch.int64, device=self.causal.device)
        with torch.no_grad():
            while self._anyone(0):
                self.causal(input_ids=idle, use_cache=False)

    def _anyone(self, busy: int) -> bool:
        import torch

        return bool(total(torch.tensor(busy, device=self.causal.device)))


def gather(model: Any) -> dict[str, Any]:
    """Every parameter of a sharded model as a whole, on the CPU of the first process; empty on the others."""
    from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict

    state: dict[str, Any] = get_model_state_dict(
        model, options=StateDictOptions(full_state_dict=True, cpu_offload=True)
    )
    return state


def save(model: Any, optimizer: Any, folder: Path) -> None:
    """Write what is trained, and the optimizer's state, each process its shards."""
    from torch.distributed import checkpoint
    from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict, get_optimizer_state_dict

    state = {
        "model": get_model_state_dict(model, options=StateDictOptions(ignore_frozen_params=True)),
        "optimizer": get_optimizer_state_dict(model, optimizer),
    }
    checkpoint.save(state, checkpoint_id=folder)


def load_weights(model: Any, folder: Path) -> None:
    """Read back the weights that `save` wrote, by as many processes as there are now."""
    from torch.distributed import checkpoint
    from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict, set_model_state_dict

    state = {"model": get_model_state_dict(model, options=StateDictOptions(ignore_frozen_params=True))}
    checkpoint.load(state, checkpoint_id=folder)
    set_model_state_dict(model, state["model"], options=StateDictOptions(strict=False))


def load_optimizer(model: Any, optimizer: Any, folder: Path) -> None:
    """Read back the optimizer's state that `save` wrote."""
    from torch.distributed import checkpoint
    from torch.distributed.checkpoint.state_dict import get_optimizer_state_dict, set_optimizer_state_dict

    state = {"optimizer": get_optimizer_state_dict(model, optimizer)}
    checkpoint.load(state, checkpoint_id=folder)
    set_optimizer_state_dict(model, optimizer, state["optimizer"])
