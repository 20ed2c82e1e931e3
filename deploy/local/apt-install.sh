#!/bin/sh
# apt-install.sh PACKAGE...: install Debian packages, as root, without starting or enabling the services they bring.
# Nothing starts because of a policy-rc.d that forbids it while this runs (where the machine has one already, that one
# stays in force). Nothing is enabled because services that were not there before are disabled again afterwards.
set -eu
export DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8

policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
    trap 'rm -f "$policy"' EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM HUP
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod 755 "$policy"
fi

services() {
    find /lib/systemd/system -maxdepth 1 \( -name 'rabbitmq*.service' -o -name 'epmd*.s*' -o -name 'postgresql*.service' \) | sort
}

before=$(services)
apt-get update
apt-get install --yes --no-install-recommends -o DPkg::Lock::Timeout=120 "$@"

disable() {
    if command -v systemctl >/dev/null; then systemctl disable "$1"; else rm -f /etc/systemd/system/*.wants/"$1"; fi
    service=${1%.service}
    if [ -e "/etc/init.d/$service" ]; then update-rc.d "$service" disable; fi
}

for unit in $(services); do
    case " $before " in *"$unit"*) continue ;; esac
    case $unit in *@*) continue ;; esac
    disable "${unit##*/}"
done
