"""How the regression tests are found and run.

A test is a file with RUN lines. Tools are called by name; `%moe_plugin` is the
library that an unmodified mlir-opt loads, `%moe_source` and `%moe_build` are the
project's folders, `%t` and `%s` are lit's.

Features, for REQUIRES:
  gpu          the CUDA driver answers and has a device
  gpu-sm90     ... whose compute capability is 9.0
  cuda-toolkit ptxas is on PATH or below CUDA_PATH
  plugin       libMoEMLIR is a shared library
  static       MLIR and LLVM are linked statically
  moe-compile, moe-run, moe-translate    the tool is built
  x86          the machine's instruction set is x86-64
"""

import ctypes
import os
import platform
import shutil
import sys

import lit.formats

config.name = "moe-mlir"
config.test_format = lit.formats.ShTest(execute_external=False)
config.suffixes = [".mlir", ".test", ".py"]
config.excludes = ["CMakeLists.txt", "Inputs", "lit.cfg.py", "lit.site.cfg.py"]
config.test_source_root = os.path.dirname(__file__)
config.test_exec_root = os.path.join(config.moe_binary_dir, "test")

# Captured names end with their test unless they start with '$'.
config.environment["FILECHECK_OPTS"] = "-enable-var-scope"
config.environment["PATH"] = os.pathsep.join(
    [config.moe_tools_dir, config.llvm_tools_dir, os.environ["PATH"]]
)
# The user's own cache stays as it is, and serves no test.
config.environment["MOE_CACHE_DIR"] = os.path.join(config.test_exec_root, "cache")
for name in ("CUDA_PATH", "CUDA_VISIBLE_DEVICES", "LD_LIBRARY_PATH"):
    if name in os.environ:
        config.environment[name] = os.environ[name]


def tool(name, folder):
    return os.path.join(folder, name)


# A name in a RUN line is the tool that was just built, not one installed.
for name, folder in [
    ("moe-opt", config.moe_tools_dir),
    ("moe-lsp-server", config.moe_tools_dir),
    ("moe-reduce", config.moe_tools_dir),
    ("mlir-opt", config.llvm_tools_dir),
    ("FileCheck", config.llvm_tools_dir),
]:
    config.substitutions.append(
        (r"(?<![-\w./%])" + name + r"(?![-\w])", tool(name, folder))
    )
for name in ("moe-compile", "moe-run", "moe-translate"):
    path = tool(name, config.moe_tools_dir)
    if os.path.exists(path):
        config.available_features.add(name)
    config.substitutions.append(("%" + name, path))
config.substitutions.append(("%moe_plugin", config.moe_plugin))
config.substitutions.append(("%python", sys.executable))
config.substitutions.append(("%moe_source", config.moe_source_dir))
config.substitutions.append(("%moe_build", config.moe_binary_dir))
config.substitutions.append(("%cmake", config.cmake))
if platform.machine() == "x86_64":
    config.available_features.add("x86")
config.available_features.add("static" if config.moe_static else "plugin")


def compute_capabilities():
    """(major, minor) of every device that the CUDA driver shows."""
    try:
        cuda = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return []
    count = ctypes.c_int(0)
    if cuda.cuInit(0) != 0 or cuda.cuDeviceGetCount(ctypes.byref(count)) != 0:
        return []
    found = []
    for ordinal in range(count.value):
        version = []
        for attribute in (75, 76):  # compute capability, major and minor
            value = ctypes.c_int(0)
            cuda.cuDeviceGetAttribute(
                ctypes.byref(value), attribute, ctypes.c_int(ordinal)
            )
            version.append(value.value)
        found.append(tuple(version))
    return found


devices = compute_capabilities()
if devices:
    config.available_features.add("gpu")
if (9, 0) in devices:
    config.available_features.add("gpu-sm90")
cuda_bin = os.path.join(os.environ.get("CUDA_PATH", "/usr/local/cuda"), "bin")
if shutil.which("ptxas") or shutil.which("ptxas", path=cuda_bin):
    config.available_features.add("cuda-toolkit")
