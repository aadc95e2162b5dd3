"""A rank of torch.distributed with Gloo that takes orders from bench allreduce
(see rank.go there for the conversation).

    python3 allreduce_gloo.py SOCKET STORE RANK WORLD
"""
import socket
import sys
import time

import torch
import torch.distributed as dist


def check(data, rank, world):
    """Sum values whose sum is known and exact, and leave zeros."""
    ramp = (torch.arange(data.numel()) % 1024).float()
    data.copy_(ramp + rank)
    dist.all_reduce(data)
    wrong = int((data != world * ramp + world * (world - 1) / 2).sum())
    data.zero_()
    return wrong


def main():
    path, store, rank, world = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method="file://" + store, rank=rank, world_size=world)
    conn = socket.socket(socket.AF_UNIX)
    conn.connect(path)
    lines = conn.makefile("rw")
    print("hello", rank, file=lines, flush=True)
    data = torch.zeros(0)
    for line in lines:
        size, n, batches = map(int, line.split()[1:])
        if data.numel() != size // 4:
            data = torch.zeros(size // 4)
        wrong, took = check(data, rank, world), []
        for _ in range(batches):
            dist.barrier()
            start = time.perf_counter_ns()
            for _ in range(n):
                dist.all_reduce(data)
            took.append((time.perf_counter_ns() - start) // n)
        print("done", wrong, 0, *took, file=lines, flush=True)


main()
