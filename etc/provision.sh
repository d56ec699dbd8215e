#!/usr/bin/env bash
# Prepare a Debian machine for Windlass. Run it as often as you like: what is there already is left alone.
# It needs no other file, so a target can be prepared from afar: ssh TARGET sudo bash -s -- target < etc/provision.sh
set -euo pipefail
umask 022

readonly FAILED=1 USAGE=2 MISSING=3 NOT_ALLOWED=4 NOT_DEBIAN=5

usage() {
  cat <<'TEXT'
usage: etc/provision.sh [--check] [--authorize KEY] ROLE...

Roles
  bootstrap   what `python3 dev.py` needs on a bare Debian: git and virtual environments
  server      a control machine: bootstrap, the OpenSSH client, nginx, Redis and PostgreSQL
  target      a machine to deploy to: Python, nginx, supervisor, the OpenSSH server, the user "deploy" with
              /srv/windlass, a supervisord of its own and the right to test and to reload nginx
  test        what `python3 dev.py test` needs; starts no service

Options
  --check          change nothing; print what is missing, one thing a line
  --authorize KEY  with target: let this SSH public key (one line) log in as "deploy"

Exit status: 0 all is there, 1 an installation failed, 2 wrong usage, 3 something is missing (--check),
4 something is missing and neither root nor passwordless sudo is at hand (nothing was changed), 5 no Debian.
TEXT
}

# Packages by role. Where only a program is wanted, whoever brings it will do: "package=program", a name on the PATH or an
# absolute pattern. Servers and targets want the package itself, for the service it sets up.
readonly BOOTSTRAP_PACKAGES="git=git ca-certificates python3-venv"
readonly SERVER_PACKAGES="$BOOTSTRAP_PACKAGES openssh-client nginx redis-server postgresql"
readonly TARGET_PACKAGES="ca-certificates python3 nginx supervisor openssh-server sudo"
readonly TEST_PACKAGES="$BOOTSTRAP_PACKAGES openssh-client=ssh openssh-server=/usr/sbin/sshd nginx=nginx
  redis-server=redis-server rabbitmq-server=/usr/lib/rabbitmq/bin/rabbitmq-server postgresql=/usr/lib/postgresql/*/bin/initdb
  rsync=rsync chromium=chromium iproute2=ip puppet-agent=puppet systemd=systemd-analyze sudo=visudo supervisor
  mmdebstrap=mmdebstrap"

# Services by role; "a|b" is satisfied by either.
readonly SERVER_SERVICES="nginx redis-server postgresql"
readonly TARGET_SERVICES="ssh|ssh.socket nginx windlass-supervisor"

# A target. Its supervisord runs as "deploy", because whoever may write programs for a supervisord may run anything as its user.
readonly DEPLOY_USER=deploy
readonly DEPLOY_FOLDERS="/srv/windlass /etc/windlass/programs /etc/windlass/sites"
readonly TARGET_FILES="/etc/windlass/supervisord.conf /etc/systemd/system/windlass-supervisor.service
  /etc/nginx/conf.d/windlass.conf /etc/sudoers.d/windlass"

readonly POLICY=/usr/sbin/policy-rc.d
readonly POLICY_ASIDE=$POLICY.before-windlass
readonly POLICY_MARK="written by Windlass's etc/provision.sh for the time of one installation"

SUDO=""

say() { printf '%s\n' "$*"; }

fail() { # STATUS MESSAGE...
  local status=$1
  shift
  printf 'provision: %s\n' "$*" >&2
  exit "$status"
}

as_root() { $SUDO "$@" 9<&-; } # 9 is this run's lock, which no service may inherit.

# --- What the roles ask for ----------------------------------------------------------------------------------------

packages_of() {
  case $1 in
    bootstrap) say "$BOOTSTRAP_PACKAGES" ;;
    server) say "$SERVER_PACKAGES" ;;
    target) say "$TARGET_PACKAGES" ;;
    test) say "$TEST_PACKAGES" ;;
  esac
}

services_of() {
  case $1 in
    server) say "$SERVER_SERVICES" ;;
    target) say "$TARGET_SERVICES" ;;
  esac
}

content_of() { # the text of a file in TARGET_FILES
  case $1 in
    /etc/windlass/supervisord.conf)
      cat <<'TEXT'
[supervisord]
logfile=/var/log/windlass/supervisord.log
pidfile=/run/windlass/supervisord.pid
childlogdir=/var/log/windlass

[unix_http_server]
file=/run/windlass/supervisor.sock
chmod=0700

[rpcinterface:supervisor]
supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface

[supervisorctl]
serverurl=unix:///run/windlass/supervisor.sock

[include]
files=/etc/windlass/programs/*.conf
TEXT
      ;;
    /etc/systemd/system/windlass-supervisor.service)
      cat <<TEXT
[Unit]
Description=The processes of applications deployed by Windlass
After=network.target

[Service]
User=$DEPLOY_USER
ExecStart=/usr/bin/supervisord -n -c /etc/windlass/supervisord.conf
Restart=on-failure
RuntimeDirectory=windlass
LogsDirectory=windlass
LimitNOFILE=65536
NoNewPrivileges=yes

[Install]
WantedBy=multi-user.target
TEXT
      ;;
    /etc/nginx/conf.d/windlass.conf)
      cat <<TEXT
# The sites of applications deployed by Windlass; the folder belongs to the user "$DEPLOY_USER".
include /etc/windlass/sites/*.conf;
TEXT
      ;;
    /etc/sudoers.d/windlass)
      cat <<TEXT
# What a deploy does as root, and nothing else: test nginx's configuration, then reload it.
$DEPLOY_USER ALL=(root) NOPASSWD: /usr/sbin/nginx -t, /usr/sbin/nginx -s reload
TEXT
      ;;
  esac
}

# --- Looking: prints what is missing, one thing a line, and changes nothing ----------------------------------------

has_program() {
  case $1 in
    /*) compgen -G "$1" >/dev/null ;;
    *) command -v "$1" >/dev/null || [ -x "/usr/sbin/$1" ] ;;
  esac
}

missing_packages() { # PACKAGE[=PROGRAM]...
  local wanted installed
  # dpkg-query exits with 1 when it does not know one of the names; that is an answer here, no failure.
  installed=$(dpkg-query -W -f '|${Package} ${db:Status-Status}|' "${@%%=*}" 2>/dev/null) || true
  for wanted in "$@"; do
    [[ $installed == *"|${wanted%%=*} installed|"* ]] && continue
    [[ $wanted == *=* ]] && has_program "${wanted#*=}" && continue
    say "package ${wanted%%=*}"
  done
}

missing_services() { # SERVICE[|ALTERNATIVE]...
  local service
  [ -d /run/systemd/system ] || return 0 # A container without systemd: whoever runs it starts its services.
  for service in "$@"; do
    # shellcheck disable=SC2086  # the alternatives are words of their own
    systemctl is-active --quiet ${service//|/ } || say "service ${service%%|*}"
  done
}

is_current() { # FILE: whether it has the wanted text, as far as we may look
  as_root test -x "${1%/*}" || [ ! -d "${1%/*}" ] || return 0
  as_root test -e "$1" || return 1
  as_root test -r "$1" || return 0
  content_of "$1" | as_root cmp -s - "$1"
}

missing_on_target() {
  local path
  id -u "$DEPLOY_USER" >/dev/null 2>&1 || say "user $DEPLOY_USER"
  for path in $DEPLOY_FOLDERS; do
    [ -d "$path" ] || say "folder $path"
  done
  for path in $TARGET_FILES; do
    is_current "$path" || say "file $path"
  done
}

missing_for() { # ROLE...
  local role
  for role in "$@"; do
    # shellcheck disable=SC2046  # lists of words
    missing_packages $(packages_of "$role")
    [ "$role" != target ] || missing_on_target
    # shellcheck disable=SC2046
    missing_services $(services_of "$role")
  done | awk '!seen[$0]++'
}

# --- Installing ----------------------------------------------------------------------------------------------------

allow_service_starts() { # Undo forbid_service_starts, also that of a run that was killed.
  if as_root grep -qsF "$POLICY_MARK" "$POLICY"; then as_root rm -f "$POLICY"; fi
  if as_root test -e "$POLICY_ASIDE"; then as_root mv "$POLICY_ASIDE" "$POLICY"; fi
}

end_orderly_on_signals() { # Once the running command has ended, so that what it changed can be put right.
  trap 'exit 129' HUP
  trap 'exit 130' INT
  trap 'exit 143' TERM
}

# Debian's packages start their service when installed, unless this file says no (invoke-rc.d(8): 101 forbids it).
forbid_service_starts() {
  allow_service_starts
  trap allow_service_starts EXIT
  end_orderly_on_signals
  if as_root test -e "$POLICY"; then as_root mv "$POLICY" "$POLICY_ASIDE"; fi
  printf '#!/bin/sh\n# %s\nexit 101\n' "$POLICY_MARK" | as_root install -m 0755 /dev/stdin "$POLICY"
}

apt_get() {
  as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=300 -o Acquire::Retries=3 "$@"
}

install_packages() { # PACKAGE...
  say "installing $*"
  apt_get update || say "the package lists could not be renewed; going on with those at hand"
  apt_get install --yes --no-install-recommends "$@" >/dev/null ||
    fail $FAILED "apt-get could not install: $*. Its messages above say why; mend that and run this again."
}

packages_in() { sed -n 's/^package //p' <<<"$1"; }

install_role() {
  local role=$1 packages fresh_nginx=no
  # shellcheck disable=SC2046
  packages=$(packages_in "$(missing_packages $(packages_of "$role"))")
  if grep -qx nginx <<<"$packages"; then fresh_nginx=yes; fi
  if [ -n "$packages" ]; then
    # shellcheck disable=SC2086
    case $role in
      bootstrap | test) (
        forbid_service_starts
        install_packages $packages
      ) ;;
      *) install_packages $packages ;;
    esac
  fi
  if [ "$role" = target ]; then prepare_target "$fresh_nginx"; fi
  # shellcheck disable=SC2046
  start_services $(services_of "$role")
}

start_services() { # SERVICE[|ALTERNATIVE]...
  local service
  for service in $(missing_services "$@" | sed -n 's/^service //p'); do
    say "starting $service"
    as_root systemctl enable --quiet --now "$service" ||
      fail $FAILED "$service does not start; see: journalctl -u $service"
  done
}

write_file() { # FILE: aside, then renamed into place, so that no half of it is ever read
  local mode=0644
  if [ "$1" = /etc/sudoers.d/windlass ]; then
    mode=0440
    content_of "$1" | as_root visudo -cqf - || fail $FAILED "sudo does not accept $1"
  fi
  say "writing $1"
  content_of "$1" | as_root install -D -m $mode /dev/stdin "$1.new"
  as_root mv "$1.new" "$1"
}

prepare_target() { # FRESH_NGINX (yes|no)
  local path changed=no
  if ! id -u "$DEPLOY_USER" >/dev/null 2>&1; then
    say "making the user $DEPLOY_USER"
    # "*" fits no password and, unlike a locked account, still lets SSH keys in.
    as_root useradd --create-home --shell /bin/bash --password '*' "$DEPLOY_USER"
  fi
  for path in $DEPLOY_FOLDERS; do
    [ -d "$path" ] || as_root install -d -o "$DEPLOY_USER" -g "$DEPLOY_USER" -m 0755 "$path"
  done
  for path in $TARGET_FILES; do
    if is_current "$path"; then continue; fi
    write_file "$path"
    changed=yes
  done
  # Debian's welcome page would answer for every name that no site claims; one that was there before us stays.
  if [ "$1" = yes ]; then as_root rm -f /etc/nginx/sites-enabled/default; fi
  if [ "$changed" = yes ]; then load_changes; fi
}

load_changes() {
  as_root /usr/sbin/nginx -tq || fail $FAILED "nginx does not accept its configuration; see the messages above"
  [ -d /run/systemd/system ] || return 0
  as_root systemctl daemon-reload
  as_root systemctl try-reload-or-restart nginx
}

authorize() { # KEY
  local home file
  home=$(getent passwd "$DEPLOY_USER" | cut -d: -f6)
  file=$home/.ssh/authorized_keys
  if as_root grep -qsxF "$1" "$file"; then return; fi
  say "authorizing ${1##* } for $DEPLOY_USER"
  as_root install -d -o "$DEPLOY_USER" -g "$DEPLOY_USER" -m 0700 "$home/.ssh"
  as_root test -e "$file" || as_root install -o "$DEPLOY_USER" -g "$DEPLOY_USER" -m 0600 /dev/null "$file"
  say "$1" | as_root tee -a "$file" >/dev/null
}

# --- The command line ----------------------------------------------------------------------------------------------

check=no key="" roles=()
while [ $# -gt 0 ]; do
  case $1 in
    -h | --help)
      usage
      exit 0
      ;;
    --check) check=yes ;;
    --authorize)
      [ $# -gt 1 ] || fail $USAGE "--authorize wants an SSH public key"
      key=$2
      shift
      ;;
    bootstrap | server | target | test) roles+=("$1") ;;
    *) fail $USAGE "there is no role or option '$1'; see etc/provision.sh --help" ;;
  esac
  shift
done
[ ${#roles[@]} -gt 0 ] || fail $USAGE "name at least one of: bootstrap, server, target, test; see etc/provision.sh --help"
if [ -n "$key" ]; then
  [[ $key =~ ^(ssh|ecdsa|sk)-[a-z0-9@.-]+\ [A-Za-z0-9+/]+=*(\ [^[:cntrl:]]*)?$ ]] ||
    fail $USAGE "--authorize wants one line such as 'ssh-ed25519 AAAA… name', the content of a .pub file"
  [[ " ${roles[*]} " == *" target "* ]] || fail $USAGE "--authorize goes with the role target"
fi
command -v apt-get >/dev/null ||
  fail $NOT_DEBIAN "this machine has no apt: install by hand what ${roles[*]} needs (the lists are at the top of this file)"

if [ $check = yes ]; then
  missing=$(missing_for "${roles[@]}")
  [ -n "$missing" ] || exit 0
  say "$missing"
  exit $MISSING
fi

if [ "$(id -u)" != 0 ] && sudo -n true 2>/dev/null; then SUDO="sudo -n --"; fi
missing=$(missing_for "${roles[@]}")
if [ -z "$missing" ] && [ -z "$key" ]; then
  say "nothing to do for ${roles[*]}"
  exit 0
fi
if [ "$(id -u)" != 0 ] && [ -z "$SUDO" ]; then
  printf 'missing: %s\n' "${missing//$'\n'/, }" >&2
  fail $NOT_ALLOWED "installing takes root or passwordless sudo, and neither is at hand; nothing was changed." \
    "Have an administrator run: sudo bash etc/provision.sh ${roles[*]}"
fi
end_orderly_on_signals
exec 9</var/lib/dpkg
flock 9 # Two runs at once would restore each other's policy-rc.d.
for role in "${roles[@]}"; do install_role "$role"; done
if [ -n "$key" ]; then authorize "$key"; fi
say "done: ${roles[*]}"
