"""Runs a plugin in PyPI's wasmtime, in process and without any lock-down: what Bulkhead's output is compared with.

    run.py command [--dir HOST::GUEST]... [--env K=V]... PLUGIN.wasm [ARG]...
        a WASI command of preview 1 or 2; standard streams and exit code are the command's own
    run.py dprint PLUGIN.wasm CONFIG.json PATH
        formats standard input with a plugin of dprint's (its ABI, version 4)
"""

import json
import sys

import wasmtime
from wasmtime import component


def wasi_config(args):
    config = wasmtime.WasiConfig()
    config.inherit_stdin()
    config.inherit_stdout()
    config.inherit_stderr()
    env = []
    while args and args[0] in ("--dir", "--env"):
        option, value, args = args[0], args[1], args[2:]
        if option == "--dir":
            host, guest = value.split("::", 1)
            config.preopen_dir(host, guest)
        else:
            env.append(tuple(value.split("=", 1)))
    config.env = env
    plugin = args[0]
    # argv[0] is the file's name, as in Bulkhead.
    config.argv = [plugin.rsplit("/", 1)[-1]] + args[1:]
    return config, plugin


def command(args):
    config, plugin = wasi_config(args)
    engine = wasmtime.Engine()
    store = wasmtime.Store(engine)
    store.set_wasi(config)
    with open(plugin, "rb") as file:
        data = file.read()
    # Byte 6 tells a component (1) from a module (0).
    if data[6] == 1:
        return command_preview2(engine, store, data)
    linker = wasmtime.Linker(engine)
    linker.define_wasi()
    instance = linker.instantiate(store, wasmtime.Module(engine, data))
    try:
        instance.exports(store)["_start"](store)
    except wasmtime.ExitTrap as end:
        return end.code
    except wasmtime.Trap as end:
        return trapped(end)
    return 0


def trapped(end):
    print(end, file=sys.stderr)
    return 134


def command_preview2(engine, store, data):
    linker = component.Linker(engine)
    linker.add_wasip2()
    compiled = component.Component(engine, data)
    instance = linker.instantiate(store, compiled)
    name = next(n for n in compiled.type.exports(engine) if n.startswith("wasi:cli/run@"))
    interface = instance.get_export_index(store, name)
    run = instance.get_func(store, instance.get_export_index(store, "run", interface))
    try:
        result = run(store)
    except wasmtime.ExitTrap as end:
        return end.code
    except wasmtime.WasmtimeError as end:
        return trapped(end)
    return 1 if isinstance(result, component.Variant) and result.tag == "err" else 0


def dprint(args):
    plugin, config, path = args
    engine = wasmtime.Engine()
    store = wasmtime.Store(engine)
    instance = wasmtime.Instance(store, wasmtime.Module.from_file(engine, plugin), [])
    exports = instance.exports(store)
    memory = exports["memory"]

    def send(data):
        at = exports["clear_shared_bytes"](store, len(data))
        memory.write(store, data, at)

    def receive(length):
        at = exports["get_shared_bytes_ptr"](store)
        return bytes(memory.read(store, at, at + length))

    with open(config, "rb") as file:
        plugin_config = json.load(file)
    send(json.dumps({"global": {}, "plugin": plugin_config}).encode())
    exports["register_config"](store, 1)
    text = sys.stdin.buffer.read()
    send(path.encode())
    exports["set_file_path"](store)
    send(text)
    result = exports["format"](store, 1)
    if result == 0:
        sys.stdout.buffer.write(text)
    elif result == 1:
        sys.stdout.buffer.write(receive(exports["get_formatted_text"](store)))
    else:
        sys.stderr.buffer.write(receive(exports["get_error_text"](store)))
        return 1
    return 0


if __name__ == "__main__":
    code = {"command": command, "dprint": dprint}[sys.argv[1]](sys.argv[2:])
    sys.stdout.flush()
    sys.exit(code)
