# The Debian packages giaoban needs, and one function to install what is missing. Sourced by run and test.
# shellcheck shell=bash

BUILD_PACKAGES=(build-essential cmake ninja-build pkg-config
    libnice-dev libsrtp2-dev libwebsockets-dev libssl-dev libnss3-dev libnspr4-dev
    libgstreamer1.0-dev libgstreamer-plugins-base1.0-dev gstreamer1.0-plugins-base gstreamer1.0-plugins-good gstreamer1.0-plugins-bad
    libopus-dev libvpx-dev libpango1.0-dev libsqlite3-dev libjansson-dev libyaml-dev libsodium-dev libseccomp-dev libcurl4-openssl-dev
    openssl fonts-dejavu-core)
if [ "$(dpkg --print-architecture)" = amd64 ]; then BUILD_PACKAGES+=(libipsec-mb-dev); fi
# Packages that only tests need.
TEST_PACKAGES=(libcmocka-dev clang clang-tidy clang-format cppcheck libclang-rt-14-dev llvm-14 chromium firefox-esr gstreamer1.0-tools
    sqlite3 iproute2 util-linux pulseaudio curl procps python3 janus coturn)

missing_packages() {
    local p
    for p in "$@"; do
        [ "$(dpkg-query -W -f='${db:Status-Status}' "$p" 2>/dev/null)" = installed ] || printf '%s\n' "$p"
    done
}

node_is_there() {
    command -v npm >/dev/null && command -v node >/dev/null &&
        [ "$(node -p 'process.versions.node.split(".")[0]' 2>/dev/null || echo 0)" -ge 18 ]
}

# install_packages "reason" package…: says what and why; uses sudo only when not root.
install_packages() {
    local why=$1 missing as_root=()
    shift
    mapfile -t missing < <(missing_packages "$@")
    if ! node_is_there; then missing+=(nodejs npm); fi
    [ ${#missing[@]} -gt 0 ] || return 0
    echo "Cài gói Debian còn thiếu ($why) / installing missing Debian packages: ${missing[*]}"
    if [ "$(id -u)" -ne 0 ]; then
        command -v sudo >/dev/null || { echo "cần root hoặc sudo để cài các gói trên / root or sudo is needed to install them" >&2; return 1; }
        as_root=(sudo)
    fi
    "${as_root[@]}" apt-get update -q >/dev/null &&
        "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "${missing[@]}" >/dev/null
}

# build_web: the web client into client/web/dist, only when its sources changed.
build_web() {
    local stamp=build/web.stamp now
    mkdir -p build
    now=$(find client/web signaling/protocol -type f -not -path '*/node_modules/*' -not -path '*/dist/*' -not -name '*.gen.ts' -print0 |
        LC_ALL=C sort -z | xargs -0 sha256sum | sha256sum)
    if [ -f client/web/dist/index.html ] && [ "$(cat $stamp 2>/dev/null)" = "$now" ]; then return 0; fi
    (
        cd client/web || exit 1
        if [ ! -d node_modules ] || [ "$(cat node_modules/.lock-stamp 2>/dev/null)" != "$(sha256sum <package-lock.json)" ]; then
            npm ci --no-audit --no-fund --loglevel=error && sha256sum <package-lock.json >node_modules/.lock-stamp || exit 1
        fi
        npm run --silent build
    ) && printf '%s' "$now" >$stamp
}
