"""Measures training steps in PyTorch and prints one JSON line, with the fields
of bench/step's results that a peer can know.

    torch_step.py --model resnet-20 --threads 1 --workers 1 --format channels_last

One thread is measured by processor time, more by the clock on the wall, as
bench/step does. With several workers every rank is bound to processors of its
own and gradients are averaged by DistributedDataParallel over gloo.
"""

import argparse
import json
import os
import socket
import statistics
import sys
import time


def since_start():
    """Age of this process in seconds, to 10 ms."""
    with open("/proc/self/stat") as f:
        ticks = int(f.read().rpartition(")")[2].split()[19])
    return time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")


def peak_rss():
    with open("/proc/self/status") as f:
        for line in f:
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024 / 1e6
    return 0


def arguments():
    p = argparse.ArgumentParser()
    p.add_argument("--model", required=True)
    p.add_argument("--threads", type=int, default=1)
    p.add_argument("--workers", type=int, default=1)
    p.add_argument("--batch", type=int, default=0, help="of each worker")
    p.add_argument("--steps", type=int, default=10)
    p.add_argument("--warmup", type=int, default=2)
    p.add_argument("--format", choices=["contiguous", "channels_last"], default="contiguous")
    return p.parse_args()


def work(args, rank, send):
    if args.workers > 1:
        cpus = sorted(os.sched_getaffinity(0))
        if len(cpus) >= args.workers:
            n = len(cpus) // args.workers
            os.sched_setaffinity(0, cpus[rank * n : (rank + 1) * n])
    before = since_start()
    import torch

    imported = since_start() - before
    import torch_models

    torch.set_num_threads(args.threads)
    torch.manual_seed(1 + rank)
    model = torch_models.build(args.model)
    n = args.batch or torch_models.MODELS[args.model][2]
    x, y = torch_models.batch(args.model, n)
    if args.format == "channels_last":
        model = model.to(memory_format=torch.channels_last)
        x = x.to(memory_format=torch.channels_last)
    params = sum(p.numel() for p in model.parameters() if p.requires_grad)
    opt = torch_models.optimizer(model)
    if args.workers > 1:
        torch.distributed.init_process_group("gloo", rank=rank, world_size=args.workers)
        model = torch.nn.parallel.DistributedDataParallel(model, gradient_as_bucket_view=True)

    start = since_start()
    wall = args.threads * args.workers > 1
    clock = time.perf_counter if wall else time.process_time
    first = 0
    for i in range(args.warmup):
        t = time.perf_counter()
        torch_models.step(model, opt, x, y)
        if i == 0:
            first = time.perf_counter() - t
    took = []
    for _ in range(args.steps):
        t = clock()
        torch_models.step(model, opt, x, y)
        took.append((clock() - t) * 1e3)
    rss = torch.tensor([peak_rss()])
    if args.workers > 1:
        torch.distributed.all_reduce(rss, torch.distributed.ReduceOp.MAX)
    if rank > 0:
        return
    print(json.dumps({
        "peer": f"pytorch {torch.__version__.split('a')[0]} {args.format}", "model": args.model,
        "threads": args.threads, "workers": args.workers, "batch": n, "steps": args.steps, "warmup": args.warmup,
        "params": params, "clock": "wall" if wall else "cpu",
        "step_ms": {"median": statistics.median(took), "min": min(took), "max": max(took)},
        "peak_rss_mb": rss.item(), "start_to_first_step_ms": start * 1e3, "import_ms": imported * 1e3,
        "first_step_ms": first * 1e3}), file=send, flush=True)


def main():
    args = arguments()
    os.environ["OMP_NUM_THREADS"] = str(args.threads)
    if args.workers == 1:
        work(args, 0, sys.stdout)
        return
    with socket.socket() as s:  # a port that is free now
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
    children = []
    for rank in range(args.workers):  # fork before torch is loaded
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                work(args, rank, sys.stdout)
                status = 0
            except Exception as e:  # noqa: BLE001 the parent reports it
                print(f"rank {rank}: {e!r}", file=sys.stderr, flush=True)
            finally:
                os._exit(status)
        children.append(pid)
    failed = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in children]
    sys.exit(max(map(abs, failed)))


main()
