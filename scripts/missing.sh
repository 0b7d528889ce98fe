#!/bin/sh
# Says in one line what this machine lacks to build the project, and how to get it; prints nothing if all is there.
#
#   missing.sh python PATH   PATH: what find-python.sh printed
#   missing.sh rust
set -u
cd "$(dirname "$0")/.." || exit

case ${1-} in
python)
    python=${2-}
    if [ -z "$python" ]; then
        if [ -n "${PYTHON-}" ]; then
            echo "PYTHON=$PYTHON is no CPython 3.10 or later: name another, as in 'make PYTHON=python3.12 ...'"
        else
            found=$(python3 --version 2>/dev/null) || found="no python3"
            echo "Python 3.10 or later is needed and was not found on the PATH ($found there): install it from https://www.python.org/downloads/ or your system's packages, or name one, as in 'make PYTHON=/path/to/python3.12 ...'"
        fi
    elif ! "$python" -c 'import venv, ensurepip' 2>/dev/null; then
        echo "$python cannot make virtual environments: its venv or ensurepip module is missing; on Debian and Ubuntu 'apt install python3-venv' adds them"
    fi
    ;;
rust)
    wanted=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)
    if ! command -v cargo >/dev/null 2>&1; then
        echo "cargo was not found on the PATH: the engine is built with Rust $wanted or later; get it from https://rustup.rs (curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh) and open a new shell"
    elif ! found=$(rustc --version 2>&1); then
        echo "rustc does not run ($(echo "$found" | head -n 1)): 'rustup default stable' installs a toolchain"
    else
        found=${found#rustc }
        found=${found%%[ -]*}
        oldest=$(printf '%s\n%s.0\n' "$found" "$wanted" | sort -t . -k 1,1n -k 2,2n -k 3,3n | head -n 1)
        if [ "$oldest" = "$found" ] && [ "$found" != "$wanted.0" ]; then
            echo "Rust $wanted or later is needed, and rustc here is $found: 'rustup update stable' brings it up to date"
        elif ! command -v cc >/dev/null 2>&1; then
            echo "no C compiler ('cc') was found on the PATH, which Rust links with and SQLite is built with: on Debian and Ubuntu 'apt install build-essential', on macOS 'xcode-select --install'"
        fi
    fi
    ;;
esac
