"""The same module in bare wasmtime, in this process, behind nothing: the floor under what isolation costs.

The figures contain Python's own share of a call, some microseconds.
"""

import importlib.metadata
import sys
import time

try:
    import wasmtime
except ImportError:
    sys.exit(1)


def percentile(samples, part):
    samples = sorted(samples)
    return samples[(len(samples) - 1) * part // 100] * 1e6


def main():
    engine = wasmtime.Engine()
    compiled = wasmtime.Module.from_file(engine, sys.argv[1]).serialize()
    starts = []
    for _ in range(100):
        at = time.perf_counter()
        store = wasmtime.Store(engine)
        instance = wasmtime.Instance(store, wasmtime.Module.deserialize(engine, compiled), [])
        add = instance.exports(store)["add"]
        assert add(store, 2, 3) == 5
        starts.append(time.perf_counter() - at)
    calls = []
    for _ in range(20_000):
        at = time.perf_counter()
        add(store, 2, 3)
        calls.append(time.perf_counter() - at)
    version = importlib.metadata.version("wasmtime")
    for name, samples in (("start to first result", starts), ("one call", calls)):
        middle, high = percentile(samples, 50), percentile(samples, 99)
        print(f"bare wasmtime {version}, {name}: median {middle:.1f} µs, p99 {high:.1f} µs, {len(samples)} samples")


main()
