#!/bin/sh
# Prints the path of a CPython that can make a virtual environment for this project, or nothing.
#
#   find-python.sh          the first of $PYTHON, or else of the usual names, that is 3.10 or later
#   find-python.sh 3.12     one of exactly that version, from the PATH or from pyenv
set -u
version=${1-}

if [ -n "$version" ]; then
    candidates="python$version python3 ${PYENV_ROOT:-${HOME-}/.pyenv}/versions/$version.*/bin/python"
else
    candidates=${PYTHON:-python3 python3.13 python3.12 python3.11 python3.10 python}
fi

for candidate in $candidates; do
    # sys.executable, since the candidate may be a shim whose choice depends on the directory.
    "$candidate" -c '
import sys
found = "%d.%d" % sys.version_info[:2]
wanted = sys.argv[1] or found
if sys.version_info < (3, 10) or sys.implementation.name != "cpython" or found != wanted:
    sys.exit(1)
print(sys.executable)
' "$version" 2>/dev/null && exit 0
done
exit 0
