#!/bin/sh
# Install Debian's Chromium and its driver for the tests with a browser, where that may be done: as root, on a machine with
# apt, and never in CI. Elsewhere those tests are skipped, and say so.
command -v chromedriver >/dev/null && exit 0
[ -n "$CI" ] || [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null && exit 0
DEBIAN_FRONTEND=noninteractive apt-get install -qq -y chromium chromium-driver >/dev/null 2>&1
