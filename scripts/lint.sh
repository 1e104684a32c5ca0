#!/usr/bin/env bash
# Format, layers, banned calls, file and function length, cppcheck, clang-tidy.
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/check-layers.py
scripts/check-style.py
scripts/check-parity.py
scripts/check-openapi.py
mapfile -t files < <(git ls-files 'src/*.c' 'src/*.h' 'tests/*.c')
# One version decides what is well formatted; others differ in details.
if clang-format --version 2>/dev/null | grep -q 'version 14\.'; then
    clang-format --dry-run --Werror "${files[@]}"
else
    echo "clang-format 14 is not here: format not checked"
fi
mapfile -t sources < <(git ls-files 'src/*.c' | grep -v _fuzz)
cppcheck --quiet --error-exitcode=1 --std=c11 --inline-suppr --max-configs=1 -j "$(nproc)" -Isrc \
    --enable=warning,portability --suppress=missingIncludeSystem --suppress=normalCheckLevelMaxBranches \
    --suppress=uninitvar --suppress=preprocessorErrorDirective --suppress=unknownMacro --suppress=internalAstError --suppress=syntaxError \
    --suppress=shiftTooManyBitsSigned '--suppress=arrayIndexOutOfBoundsCond:*_testing.h' "${sources[@]}"
printf '%s\n' "${sources[@]}" | grep -v _test |
    xargs -P "$(nproc)" -n 8 clang-tidy -p build/clang --quiet --warnings-as-errors='*' 2>build/clang-tidy.log >build/clang-tidy.out ||
    { grep -E 'error:|warning:' build/clang-tidy.out | head -40; exit 1; }
echo "lint ok: ${#files[@]} files"
