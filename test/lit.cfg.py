"""How the regression tests are found and run."""

import ctypes
import os
import shutil

import lit.formats
from lit.llvm import llvm_config  # noqa: F401  (lit's own; kept optional)
