#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
# Installs the Debian packages that the named purposes need and that are not
# there: deps.sh [--list] PURPOSE...   (build, test, soak, bench, ci)
# Prints nothing and touches nothing when all are there, but for the optional
# ones: those come along when something is installed anyway.
set -eu

packages_for()
{
	case $1 in
	build)	echo gcc libc6-dev make meson ninja-build pkg-config python3 \
			libjansson-dev libcmocka-dev ;;
	test)	echo g++ binutils mandoc universal-ctags valgrind \
			systemtap-sdt-dev linux-kbuild-6.1 perl libdw-dev liburing-dev \
			bash git sqlite3 tar xz-utils ;;
	soak)	echo redis-server redis-tools default-jdk-headless nodejs \
			libjemalloc2 ucx-utils libfabric-bin ;;
	bench)	echo valgrind liburcu8 ;;
	ci)	echo git clang clang-19 libclang-rt-dev libclang-rt-19-dev \
			gcc-aarch64-linux-gnu libc6-dev-arm64-cross \
			qemu-user-static ;;
	*)	echo "deps.sh: unknown purpose '$1'" >&2
		exit 129 ;;
	esac
}

optional_for()
{
	case $1 in
	build)	echo systemtap-sdt-dev linux-kbuild-6.1 perl libdw-dev liburing-dev ;;
	test)	echo libibverbs-dev libfabric-dev spin ;;
	bench)	echo libucx-dev ;;
	esac
}

is_installed()
{
	[ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}

list=false
if [ "${1-}" = --list ]; then
	list=true
	shift
fi

wanted=
optional=
for purpose in "$@"; do
	wanted="$wanted $(packages_for "$purpose")"
	optional="$optional $(optional_for "$purpose")"
done

if $list; then
	echo $wanted $optional
	exit 0
fi

# Elsewhere the configure step says what it misses.
command -v dpkg-query >/dev/null || exit 0

# Of the packages named, those that are not installed.
missing_of()
{
	for package in "$@"; do
		is_installed "$package" || printf ' %s' "$package"
	done
}

missing=$(missing_of $wanted)
[ -n "$missing" ] || exit 0

echo "deps.sh: not installed:$missing" >&2
if [ "$(id -u)" != 0 ]; then
	echo "deps.sh: run this once, then again what you ran:" >&2
	echo "    sudo scripts/deps.sh $*" >&2
	exit 1
fi

missing="$missing$(missing_of $optional)"
echo "deps.sh: installing:$missing" >&2
export DEBIAN_FRONTEND=noninteractive
install()
{
	apt-get install -y -q --no-install-recommends $missing </dev/null >&2
}
install || { apt-get update -q </dev/null >&2 && install; }
