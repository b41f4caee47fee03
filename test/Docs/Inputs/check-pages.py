"""Checks that links of pages lead somewhere, that flags they name exist, and that
they name all flags of the project's own tools.

Usage: check-pages.py source-folder opt-help.txt help.txt...
"""

import pathlib
import re
import sys

# Flags of other programs.
FOREIGN = {
    *("--build", "--install", "--prefix", "--preset", "--target", "--filter"),
    *("--fast", "--only", "--all"),  # utils/test
}


def main():
    root = pathlib.Path(sys.argv[1])
    upstream, *own = [
        set(re.findall(r"--[a-z][\w-]*", pathlib.Path(path).read_text()))
        for path in sys.argv[2:]
    ]
    own = set().union(*own)
    scripts = set()
    for script in [
        *(root / "benchmarks").glob("*.py"),
        *(root / "test" / "Integration").rglob("*.py"),
    ]:
        scripts.update(re.findall(r'add_argument\("(--[\w-]+)"', script.read_text()))
    known = FOREIGN | upstream | own | scripts
    unnamed = own - {"--help"}
    wrong = []
    links = flags = 0
    for page in [*sorted(root.glob("*.md")), *sorted((root / "docs").glob("*.md"))]:
        text = page.read_text(encoding="utf-8")
        for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", text):
            if "://" in target:
                continue
            links += 1
            if not (page.parent / target).exists():
                wrong.append(f"{page.name}: link to '{target}' leads nowhere")
        for flag in re.findall(r"(?<![\w\[-])--[a-z][\w-]*", text):
            flags += 1
            unnamed.discard(flag)
            if flag not in known:
                wrong.append(f"{page.name}: no tool has the flag '{flag}'")
    wrong.extend(f"no page names the flag '{flag}'" for flag in sorted(unnamed))
    print("\n".join(wrong))
    print(f"{links} links, {flags} flags")
    sys.exit(1 if wrong or not links or not flags else 0)


if __name__ == "__main__":
    main()
