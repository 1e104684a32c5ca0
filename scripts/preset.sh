#!/bin/sh
# Configure and build one CMake preset quietly: preset.sh NAME [build options]
set -eu
preset=$1
shift
mkdir -p build
cmake --preset "$preset" >"build/configure-$preset.log" 2>&1 || { cat "build/configure-$preset.log"; exit 1; }
cmake --build --preset "$preset" "$@" >"build/build-$preset.log" 2>&1 || { tail -60 "build/build-$preset.log"; exit 1; }
echo "built: $preset"
