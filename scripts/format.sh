#!/bin/sh
# Rewrite all C files in the project's format.
set -eu
cd "$(dirname "$0")/.."
git ls-files 'src/*.c' 'src/*.h' 'tests/*.c' | xargs clang-format -i
