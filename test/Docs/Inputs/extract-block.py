"""Prints the first code block of a language in a document.

Usage: extract-block.py document language
"""

import pathlib
import re
import sys

text = pathlib.Path(sys.argv[1]).read_text(encoding="utf-8")
block = re.search(rf"^```{sys.argv[2]}\n(.*?)^```$", text, re.M | re.S)
if not block:
    sys.exit(f"{sys.argv[1]}: expected a block of {sys.argv[2]} but found none")
sys.stdout.write(block.group(1))
